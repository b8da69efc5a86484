// Asks the server for the page as it is and lays it over the one shown, through htmx. Nothing is evaluated from the page.
// It must never lay an older page over a newer one, nor leave out a change, however many come.

import htmx from "htmx.org";
import { isPage } from "./forms";
import { lay } from "./morph";
import { hold, places } from "./press";

const QUIET = 250;
const LEAST = 1000;
/** The longest wait before a refresh that failed is tried again. */
const PATIENCE = 30_000;
let timer: ReturnType<typeof setTimeout> | undefined;
let drawn = 0;
/** Since when the page is behind what was told; nothing while it is not. */
let behind: number | undefined;
/** Somebody asked since the last one began; one is on its way; so many failed in a row. */
let asked = false;
let busy = false;
let failures = 0;
/** A form was answered since the refresh that is on its way was asked for: it may be older than that answer. */
let overtaken = false;

type Exchange = CustomEvent<{ requestConfig?: { elt?: Element }; xhr: XMLHttpRequest; shouldSwap: boolean }>;

/** Sets htmx up; `done` is called whenever the page was changed. */
export function start(done: () => void): void {
  htmx.defineExtension("morph", {
    isInlineSwap: (style: string) => style === "morph",
    handleSwap: (style: string, target: Node, fragment: DocumentFragment) => {
      const next = fragment.firstElementChild;
      if (style !== "morph" || !(target instanceof Element) || !next) return false;
      const before = places();
      const changed = lay(target, next);
      done();
      hold(before);
      return Array.isArray(changed) ? changed : [target];
    },
  } as never);
  document.addEventListener("htmx:beforeSwap", (event) => keepPage(event as Exchange));
  for (const end of ["htmx:afterRequest", "htmx:onLoadError"]) document.addEventListener(end, (event) => over(event as Exchange));
  document.addEventListener("change", (event) => {
    const form = (event.target as HTMLElement).closest<HTMLFormElement>("form[data-auto]");
    form?.requestSubmit();
  });
  document.addEventListener("toggle", (event) => foldOthers(event), true);
  // What was told while the page lay aside may not have reached it.
  addEventListener("pageshow", (event) => event.persisted && refresh());
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
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
  behind ??= Date.now();
  if (failures > 0) {
    failures = 0;
    clearTimeout(timer);
    timer = undefined;
  }
  schedule();
}

/** The answer to a form is newer than a page that was asked for before it. */
export function overtake(): void {
  overtaken = busy;
}

/** Since when the page is behind what was told, in milliseconds of the browser's clock. */
export function behindSince(): number | undefined {
  return behind;
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
  overtaken = false;
  drawn = Date.now();
  // A page that only says what went wrong has nothing to refresh.
  busy = document.getElementById("refresh") !== null;
  document.body.dispatchEvent(new CustomEvent("zhiban:changed"));
}

function isRefresh(event: Exchange): boolean {
  return event.detail.requestConfig?.elt?.id === "refresh";
}

/** A refresh that was refused or overtaken changes nothing: the page stays what it is, and is asked for again. */
function keepPage(event: Exchange): void {
  if (!isRefresh(event)) return;
  if (!isPage(event.detail.xhr) || overtaken) event.detail.shouldSwap = false;
  if (overtaken) asked = true;
}

function over(event: Exchange): void {
  if (!isRefresh(event)) return;
  const { xhr } = event.detail;
  // What the page is about may be gone for good: that is no failure, and asking again helps nobody.
  const gone = xhr.status === 404;
  const failed = event.type === "htmx:onLoadError" || (!isPage(xhr) && !gone);
  busy = false;
  failures = failed ? failures + 1 : 0;
  if (asked || failed) schedule();
  else behind = undefined;
}
