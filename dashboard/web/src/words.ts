// The words that scripts put into the page; the server wrote them into it in the page's language.

const table: Record<string, string> = JSON.parse(document.body.dataset["words"] ?? "{}");

/** The text of a key, with each `%{name}` replaced. */
export function word(key: string, values: Record<string, string | number> = {}): string {
  let text = table[key] ?? key;
  for (const [name, value] of Object.entries(values)) text = text.replace(`%{${name}}`, String(value));
  return text;
}

/** What people wrote, with each mark that turns the direction of writing shown by its name, as the server's pages have it. */
export function visible(text: string): string {
  return text.replace(/[\u202a-\u202e\u2066-\u2069]/g, (mark) => `[U+${mark.charCodeAt(0).toString(16).toUpperCase()}]`);
}
