// Fragments and forms through htmx: the server's page is laid over the one shown, element by element,
// so that focus, scroll and what somebody is writing stay. Nothing is evaluated from the page.

import htmx from "htmx.org";
import { Idiomorph } from "idiomorph";
import { word } from "./words";

const QUIET = 250;
const LEAST = 1000;
/** The longest wait before a refresh that failed is tried again. */
const PATIENCE = 30_000;
let timer: ReturnType<typeof setTimeout> | undefined;
let drawn = 0;
/** Somebody asked since the last one began; one is on its way; so many failed in a row. */
let asked = false;
let busy = false;
let failures = 0;

/** What stays as it is while the rest of the page is replaced: also a form on its way, whose key must stay its own. */
function keeps(shown: Node): boolean {
  if (!(shown instanceof HTMLElement)) return false;
  return "keep" in shown.dataset || (shown instanceof HTMLFormElement && ("dirty" in shown.dataset || "busy" in shown.dataset));
}

function morph(target: Node, fragment: DocumentFragment): unknown {
  return Idiomorph.morph(target as Element, fragment.firstElementChild as Element, {
    morphStyle: "outerHTML",
    ignoreActiveValue: true,
    callbacks: {
      beforeNodeMorphed: (shown: Node, next: Node) => !(keeps(shown) && sameKept(shown, next)),
      beforeAttributeUpdated: (name: string, element: Element) => !(name === "open" && element instanceof HTMLDetailsElement),
    },
  });
}

function field(form: HTMLFormElement, name: string): HTMLInputElement | null {
  return form.querySelector(`input[name="${name}"]`);
}

/** A kept element gives way when the server means another one. */
function sameKept(shown: Node, next: Node): boolean {
  if (!(shown instanceof HTMLElement) || !(next instanceof HTMLElement)) return false;
  if (shown instanceof HTMLFormElement && next instanceof HTMLFormElement) {
    const same = shown.action === next.action && field(shown, "to")?.value === field(next, "to")?.value;
    if (!same || next.querySelector("[aria-invalid]")) return false;
    // What is around the form was brought up to date, so it is sent for what is seen now.
    const [old, fresh] = [field(shown, "version"), field(next, "version")];
    if (old && fresh) old.value = fresh.value;
    return true;
  }
  return shown.dataset["key"] === next.dataset["key"] && shown.dataset["from"] === next.dataset["from"];
}

/** Sets htmx up; `done` is called whenever the page was changed. */
export function start(done: () => void): void {
  htmx.defineExtension("morph", {
    isInlineSwap: (style: string) => style === "morph",
    handleSwap: (style: string, target: Node, fragment: DocumentFragment) => {
      if (style !== "morph") return false;
      const changed = morph(target, fragment);
      return Array.isArray(changed) ? changed : [target];
    },
  } as never);
  document.addEventListener("htmx:afterSettle", done);
  document.addEventListener("htmx:afterSwap", done);
  document.addEventListener("input", (event) => {
    const form = (event.target as HTMLElement).closest<HTMLElement>("form");
    if (form) form.dataset["dirty"] = "";
  });
  document.addEventListener("htmx:beforeSwap", (event) => keepPage(event as Exchange));
  for (const end of ["htmx:afterRequest", "htmx:onLoadError"]) document.addEventListener(end, (event) => over(event as Exchange));
  document.addEventListener("htmx:beforeRequest", (event) => mark(event, true));
  document.addEventListener("htmx:beforeOnLoad", (event) => answered(event));
  document.addEventListener("htmx:afterRequest", (event) => mark(event, false));
  document.addEventListener("htmx:afterRequest", (event) => unsent(event as Exchange));
  document.addEventListener("change", (event) => {
    const form = (event.target as HTMLElement).closest<HTMLFormElement>("form[data-auto]");
    form?.requestSubmit();
  });
  document.addEventListener("toggle", (event) => foldOthers(event), true);
}

/** While a form is on its way its button says so and cannot be pressed again. */
function mark(event: Event, busy: boolean): void {
  const form = event.target;
  if (!(form instanceof HTMLFormElement)) return;
  if (busy) {
    delete form.dataset["dirty"];
    form.dataset["busy"] = "";
    form.querySelector("[data-unsent]")?.remove();
  }
  for (const button of document.querySelectorAll<HTMLButtonElement>(`button`)) {
    if (button.form !== form) continue;
    button.disabled = busy;
    button.setAttribute("aria-busy", String(busy));
  }
}

/** The answer's page may replace the form. */
function answered(event: Event): void {
  if (event.target instanceof HTMLFormElement) delete event.target.dataset["busy"];
}

/** A form that no answer came for says so, and keeps what was written and its key for another try. */
function unsent(event: Exchange): void {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || event.detail.xhr.status !== 0) return;
  delete form.dataset["busy"];
  form.dataset["dirty"] = "";
  const notice = document.createElement("p");
  notice.className = "err";
  notice.dataset["unsent"] = "";
  notice.setAttribute("role", "alert");
  notice.textContent = word("form.not_sent");
  // Photos are sent when they were chosen; those of a camera are nowhere else.
  if (!form.querySelector("button:not(noscript *)")) {
    const again = document.createElement("button");
    again.className = "btn sm";
    again.textContent = word("order.photo_send");
    notice.append(again);
  }
  form.append(notice);
}

function foldOthers(event: Event): void {
  const opened = event.target;
  if (!(opened instanceof HTMLDetailsElement) || !opened.open || !opened.getAttribute("name")) return;
  for (const other of document.querySelectorAll<HTMLDetailsElement>(`details[name="${opened.getAttribute("name")}"]`))
    if (other !== opened) other.open = false;
}

/** Asks for the page again, soon, and at most once a second however many events come. None is ever dropped. */
export function refresh(): void {
  asked = true;
  if (failures > 0) {
    failures = 0;
    clearTimeout(timer);
    timer = undefined;
  }
  schedule();
}

function schedule(): void {
  if (busy || timer !== undefined) return;
  const soon = Math.max(QUIET, drawn + LEAST - Date.now());
  const later = Math.min(PATIENCE, LEAST * 2 ** failures) * (0.5 + Math.random() / 2);
  timer = setTimeout(send, failures > 0 ? later : soon);
}

function send(): void {
  timer = undefined;
  asked = false;
  drawn = Date.now();
  // A page that only says what went wrong with a form has nothing to refresh.
  busy = document.getElementById("refresh") !== null;
  document.body.dispatchEvent(new CustomEvent("zhiban:changed"));
}

type Exchange = CustomEvent<{ requestConfig?: { elt?: Element }; xhr: XMLHttpRequest; shouldSwap: boolean }>;

function isRefresh(event: Exchange): boolean {
  return event.detail.requestConfig?.elt?.id === "refresh";
}

/** A refresh that was refused changes nothing: the page stays what it is, and is asked for again. */
function keepPage(event: Exchange): void {
  if (isRefresh(event) && event.detail.xhr.status >= 400) event.detail.shouldSwap = false;
}

function over(event: Exchange): void {
  if (!isRefresh(event)) return;
  const { status } = event.detail.xhr;
  const failed = event.type === "htmx:onLoadError" || status === 0 || status === 429 || status >= 500;
  busy = false;
  failures = failed ? failures + 1 : 0;
  if (asked || failed) schedule();
}
