// Sends forms through htmx, once each: a second press is the same sending, other content is another one.
// The answer is the page as it is now; a refusal leaves the page and says why.

import { freshKey, keep, sending as known, settle } from "./drafts";
import { changes, fields, identity, isPage } from "./forms";
import { refusesLength } from "./limits";
import { answer } from "./morph";
import { unsay } from "./notices";
import { answered as photoAnswered, arrived, keyOf } from "./photos";
import { busy } from "./press";
import { clear, refused, unsent } from "./refusals";

type Asking = CustomEvent<{ elt: Element; verb: string; parameters: Record<string, unknown>; formData: FormData }>;
type Answer = CustomEvent<{
  elt: Element;
  xhr: XMLHttpRequest;
  shouldSwap: boolean;
  requestConfig?: { elt?: Element; verb?: string };
}>;

/** What each form held when it was sent. */
const sent = new WeakMap<HTMLFormElement, Map<string, string>>();

/** The form that an event of htmx is about, if it is about one that changes something. */
function formOf(event: Answer | Asking): HTMLFormElement | undefined {
  const { detail } = event;
  const element = ("requestConfig" in detail ? detail.requestConfig?.elt : undefined) ?? detail.elt;
  return element instanceof HTMLFormElement && changes(element) ? element : undefined;
}

/** Listens to htmx; `changed` asks for the page as it is now, `answered` tells that a page asked for before is old. */
export function listenForSending(changed: () => void, answered: () => void): void {
  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      if (!(form instanceof HTMLFormElement) || !changes(form) || !refusesLength(form)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
    },
    true,
  );
  document.addEventListener("htmx:configRequest", (event) => name(event as Asking));
  document.addEventListener("htmx:beforeRequest", (event) => begin(event as Answer));
  document.addEventListener("htmx:beforeSwap", (event) => {
    const form = formOf(event as Answer);
    if (!form) return;
    answered();
    arrive(form, event as Answer);
    if (!(event as Answer).detail.shouldSwap) changed();
  });
}

/** Gives the sending its key: the one it had when the same was sent before and no answer came. */
function name(event: Asking): void {
  const form = formOf(event);
  if (!form || !event.detail.formData.has("idempotency_key")) return;
  const content = contentOf(event.detail.formData);
  const photo = keyOf(form);
  if (photo) {
    event.detail.parameters["idempotency_key"] = photo;
    return;
  }
  const before = known(form);
  const key = before?.content === content ? before.key : freshKey();
  event.detail.parameters["idempotency_key"] = key;
  keep(form, { content, key });
}

function contentOf(data: FormData): string {
  const parts = [...data.entries()].filter(([name]) => name !== "idempotency_key" && name !== "back");
  return JSON.stringify(parts);
}

function begin(event: Answer): void {
  const form = formOf(event);
  if (!form) return;
  clear(form);
  sent.set(form, new Map(fields(form).map((field) => [field.name, field.value])));
  busy(form, true);
  // On the form itself: a new page may have taken it away before its answer comes.
  form.addEventListener("htmx:afterRequest", () => end(form, event.detail.xhr), { once: true });
}

function end(form: HTMLFormElement, xhr: XMLHttpRequest): void {
  busy(form, false);
  if (xhr.status === 0) unsent(form);
  photoAnswered(form, xhr);
}

function arrive(form: HTMLFormElement, event: Answer): void {
  const { xhr } = event.detail;
  busy(form, false);
  if (!isPage(xhr)) {
    event.detail.shouldSwap = false;
    // Of a fault on the other side it is not known whether it was done: the same is sent again under the same key.
    if (xhr.status >= 400 && xhr.status < 500) settle(form, false);
    refused(form, xhr);
    return;
  }
  for (const field of fields(form)) if (sent.get(form)?.get(field.name) === field.value) delete field.dataset["typed"];
  arrived(form, xhr);
  settle(form, true);
  unsay(identity(form));
  keep(form);
  answer(form);
}
