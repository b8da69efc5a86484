// Lays the server's page over the one that is shown, element by element. Whatever has the focus, the page becomes
// what the server says; only what somebody is writing stays, and a form that is on its way.

import { Idiomorph } from "idiomorph";
import { type Field, identity, isBusy, isField, isTyped } from "./forms";
import { leftField } from "./keys";

/** Attributes that scripts set and the server does not know. */
const OURS = new Set(["data-typed", "data-refused", "data-busy", "aria-busy", "aria-disabled"]);
/** What of a field is the writer's. */
const WRITTEN = new Set(["value", "checked", "style"]);
/** Forms whose answer is shown next: what was sent is written no more, though a field may have the focus. */
const answered = new Set<HTMLFormElement>();

/** The page that is laid next is the answer to this form. */
export function answer(form: HTMLFormElement): void {
  answered.add(form);
}

/** Lays the element over the one shown. */
export function lay(shown: Element, next: Element): unknown {
  const active = document.activeElement;
  const caret = isField(active) && "selectionStart" in active ? ([active.selectionStart, active.selectionEnd] as const) : undefined;
  const changed = Idiomorph.morph(shown, next, {
    morphStyle: "outerHTML",
    restoreFocus: false,
    callbacks: { beforeNodeMorphed: morphs, beforeAttributeUpdated: updates, beforeNodeRemoved: removes },
  });
  answered.clear();
  if (active instanceof HTMLElement && active !== document.body) refocus(active, caret);
  return changed;
}

function morphs(shown: Node, next: Node): boolean {
  if (!(shown instanceof HTMLElement) || !(next instanceof HTMLElement)) return true;
  if ("keep" in shown.dataset) {
    if (shown.dataset["key"] !== next.dataset["key"] || shown.dataset["from"] !== next.dataset["from"]) return true;
    retell(shown, next);
    return false;
  }
  if (shown instanceof HTMLFormElement && next instanceof HTMLFormElement) return !(isBusy(shown) && identity(shown) === identity(next));
  if (isField(shown) && isField(next) && isSpared(shown, next)) {
    around(shown, next);
    return false;
  }
  if (isField(shown)) for (const mark of ["typed", "refused"]) delete shown.dataset[mark];
  return true;
}

/** What a script made of an element stays; what the server says of it, the end of an alarm, is told to that script. */
function retell(shown: HTMLElement, next: HTMLElement): void {
  const news = Object.entries(next.dataset).filter(([name, said]) => shown.dataset[name] !== said);
  if (news.length === 0) return;
  for (const [name, said] of news) shown.dataset[name] = said;
  shown.dispatchEvent(new CustomEvent("zhiban:retold"));
}

/** Whether a field is being written in: it has the focus, or holds what was not sent. */
function isSpared(shown: Field, next: Field): boolean {
  if (shown.name !== next.name || shown.type !== next.type) return false;
  return isTyped(shown) || (shown === document.activeElement && !(shown.form && answered.has(shown.form)));
}

/** Brings what is around a writer's text up to date: limits, marks, labels. */
function around(shown: Field, next: Field): void {
  for (const { name, value } of next.attributes)
    if (!WRITTEN.has(name) && shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  for (const { name } of [...shown.attributes])
    if (!WRITTEN.has(name) && !next.hasAttribute(name) && updates(name, shown, "remove")) shown.removeAttribute(name);
}

function updates(name: string, element: Element, how: string): boolean {
  if (how !== "remove") return true;
  // What people unfolded stays so, and what the server unfolds is unfolded.
  if (element instanceof HTMLDetailsElement) return name !== "open";
  if (element instanceof HTMLTextAreaElement && name === "style") return false;
  if (name === "aria-invalid") return !("refused" in (element as HTMLElement).dataset);
  return !OURS.has(name);
}

function removes(node: Node): boolean {
  return !(node instanceof HTMLElement && "own" in node.dataset);
}

/** The focus stays where it was; where that is gone, keys must not come to mean something else. */
function refocus(active: HTMLElement, caret: readonly [number | null, number | null] | undefined): void {
  if (!active.isConnected) {
    if (isField(active)) leftField();
    document.getElementById("main")?.focus({ preventScroll: true });
    return;
  }
  if (document.activeElement === active) return;
  active.focus({ preventScroll: true });
  if (caret && "setSelectionRange" in active)
    try {
      (active as unknown as HTMLInputElement).setSelectionRange(caret[0], caret[1]);
    } catch {
      // Fields of numbers have no caret to be set.
    }
}
