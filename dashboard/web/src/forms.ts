// What a form is, which of its fields people fill in, and what became of what was written in them.
// A form is known by what it does, not by where it stands: the same step in another place is the same form.

export type Field = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

const NO_TEXT = new Set(["hidden", "submit", "button", "image", "reset", "file"]);
/** Fields that say what a form is about; the same address with another of these is another form. */
const ABOUT = ["to", "stage", "id"];

/** Whether people fill it in. */
export function isField(node: unknown): node is Field {
  if (node instanceof HTMLInputElement) return !NO_TEXT.has(node.type);
  return node instanceof HTMLTextAreaElement || node instanceof HTMLSelectElement;
}

/** Whether what is written in it may be kept on the device. */
export function mayKeep(field: Field): boolean {
  return field.name !== "" && field.type !== "password" && field.autocomplete !== "one-time-code";
}

/** The fields of a form that people fill in. */
export function fields(form: HTMLFormElement): Field[] {
  return [...form.elements].filter(isField);
}

/** Whether a form changes something, unlike one that only asks for a page. */
export function changes(form: HTMLFormElement): boolean {
  return form.method === "post";
}

/** What the form does: its address, and what it is about. */
export function identity(form: HTMLFormElement): string {
  const about = ABOUT.map((name) => form.querySelector<HTMLInputElement>(`input[type=hidden][name="${name}"]`)?.value ?? "");
  return [form.getAttribute("action") ?? "", ...about.filter(Boolean)].join("#");
}

/** Every form of the page that changes something. */
export function all(): HTMLFormElement[] {
  return [...document.forms].filter(changes);
}

/** The forms of the page that do this. */
export function doing(what: string): HTMLFormElement[] {
  return all().filter((form) => identity(form) === what);
}

/** The buttons that send a form, also those that stand elsewhere on the page. */
export function buttons(form: HTMLFormElement): HTMLButtonElement[] {
  return [...form.elements].filter((one): one is HTMLButtonElement => one instanceof HTMLButtonElement && one.type === "submit");
}

/** Whether it is on its way. */
export function isBusy(form: HTMLFormElement): boolean {
  return "busy" in form.dataset;
}

/** Whether somebody wrote in it and has not sent it. */
export function isTyped(field: Field): boolean {
  return "typed" in field.dataset;
}

/** What a field is called, as people read it. */
export function label(field: Field): string {
  const named = field.getAttribute("aria-label") ?? field.labels?.[0]?.firstElementChild?.firstChild?.textContent;
  const own = [...(field.labels?.[0]?.childNodes ?? [])].find((node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim());
  return (own?.textContent ?? named ?? field.name).trim();
}

/** What the form is called, as people read it: what it is about, and what its button says. */
export function named(form: HTMLFormElement): string {
  const [button] = buttons(form);
  const does = button?.getAttribute("aria-label") ?? button?.textContent ?? "";
  return [form.dataset["of"] ?? "", does.trim()].filter(Boolean).join(" · ");
}

let count = 0;

/** An element that scripts put into the page; a new page from the server leaves it where it is. */
export function own<Name extends keyof HTMLElementTagNameMap>(name: Name, className: string): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  element.id = `own-${(count += 1)}`;
  element.className = className;
  element.dataset["own"] = "";
  return element;
}

/** Whether an answer is a page of ours: what stands between may answer with a page of its own. */
export function isPage(xhr: XMLHttpRequest): boolean {
  return xhr.status < 400 && xhr.responseText.includes('id="page"');
}
