// The words that scripts put into the page; the server wrote them into it in the page's language.

const table: Record<string, string> = JSON.parse(document.body.dataset["words"] ?? "{}");

/** The text of a key, with each `%{name}` replaced. */
export function word(key: string, values: Record<string, string | number> = {}): string {
  let text = table[key] ?? key;
  for (const [name, value] of Object.entries(values)) text = text.replace(`%{${name}}`, String(value));
  return text;
}
