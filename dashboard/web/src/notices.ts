// What must be read: a refusal, a text that was not sent. It stays over every refresh until somebody closes it,
// or until what it is about was done after all.

import { own } from "./forms";
import { visible, word } from "./words";

const place = (): HTMLElement | null => document.getElementById("notices");

function find(about: string): HTMLElement | undefined {
  return [...(place()?.children ?? [])].find((one): one is HTMLElement => (one as HTMLElement).dataset["about"] === about);
}

/** Says something about a form; what was said of it before gives way. */
export function say(about: string, text: string, kept = "", closed: () => void = () => {}): void {
  const old = find(about);
  if (old?.dataset["said"] === text + kept) return;
  const notice = own("div", "notice");
  notice.dataset["about"] = about;
  notice.dataset["said"] = text + kept;
  notice.setAttribute("role", "alert");
  const line = document.createElement("p");
  line.textContent = visible(text);
  const close = document.createElement("button");
  close.type = "button";
  close.className = "btn sm";
  close.textContent = word(kept ? "form.discard" : "form.close");
  close.addEventListener("click", () => {
    notice.remove();
    closed();
  });
  notice.append(line, close);
  if (kept) {
    const written = document.createElement("blockquote");
    written.textContent = visible(kept);
    line.after(written);
  }
  if (old) old.replaceWith(notice);
  else place()?.append(notice);
}

/** What the server said of a form that was sent without this script can be closed, too. */
export function adopt(): void {
  for (const notice of place()?.querySelectorAll<HTMLElement>("[data-given]") ?? []) {
    const close = document.createElement("button");
    close.type = "button";
    close.className = "btn sm";
    close.textContent = word("form.close");
    close.addEventListener("click", () => notice.remove());
    notice.append(close);
  }
}

/** Takes back what was said. */
export function unsay(about: string): void {
  find(about)?.remove();
}
