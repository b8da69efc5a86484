// What was written and not sent, kept on this device under the name of who wrote it: it is there again after a
// reload, a new sign-in, an outage. It must never hold a password, nor be shown to anybody else.

import { all, changes, doing, type Field, fields as own, identity, isBusy, isField, isTyped, label, mayKeep, named } from "./forms";
import { say, unsay } from "./notices";
import { siteTime } from "./clock";
import { word } from "./words";

/** A sending of which the answer may have been lost: the same content is the same sending. */
export type Sending = { content: string; key: string };
type Written = { text: string; label: string; choice: boolean; at?: number };
type Draft = { at: number; name?: string; page: string; from: string; fields: Record<string, Written>; sending?: Sending };

const PREFIX = "zhiban.drafts.";
const KEEP = 7 * 86_400_000;
const MOST = 50;
/** Who is signed in here. */
export const user = document.body.dataset["user"] ?? "";
const store = PREFIX + user;
export const opened = Date.now();
/** What was put back into which form, and when it was written. */
const returned = new Map<string, { name: string; at: number }>();
/** Tells this page from other tabs: what is being written there is not shown here at the same time. */
export const here = `${opened}-${Math.random()}`;

/** By chance, also where `crypto.randomUUID` is not allowed. */
export function freshKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function read(name = store): Record<string, Draft> {
  try {
    return JSON.parse(localStorage.getItem(name) ?? "{}") as Record<string, Draft>;
  } catch {
    return {};
  }
}

function write(drafts: Record<string, Draft>, name = store): void {
  try {
    const newest = Object.entries(drafts).sort((a, b) => b[1].at - a[1].at);
    if (newest.length === 0) localStorage.removeItem(name);
    else localStorage.setItem(name, JSON.stringify(Object.fromEntries(newest.slice(0, MOST))));
  } catch {
    // Without a store there are no drafts; the page itself still has what was written.
  }
}

/** Keeps what is written in a form; a form with nothing in it has no draft. */
export function keep(form: HTMLFormElement, sending?: Sending): void {
  if (!changes(form)) return;
  const what = identity(form);
  const drafts = read();
  const written = own(form).filter((field) => isTyped(field) && mayKeep(field));
  const texts = written.map((field) => {
    const choice = field instanceof HTMLSelectElement;
    const before = drafts[what]?.fields[field.name];
    const at = before?.text === field.value ? (before.at ?? drafts[what]?.at) : Date.now();
    return [field.name, { text: field.value, label: label(field), choice, ...(at ? { at } : {}) }] as const;
  });
  const known = sending ?? drafts[what]?.sending;
  const fields = { ...others(form, drafts[what]), ...Object.fromEntries(texts) };
  if (Object.values(fields).every((one) => one.text === "") && !sending) delete drafts[what];
  else drafts[what] = { at: Date.now(), name: named(form), page: location.pathname, from: here, fields, ...(known ? { sending: known } : {}) };
  write(drafts);
}

/** What was written in fields that the form has no more. */
function others(form: HTMLFormElement, draft: Draft | undefined): Record<string, Written> {
  const names = new Set(own(form).map((field) => field.name));
  return Object.fromEntries(Object.entries(draft?.fields ?? {}).filter(([name]) => !names.has(name)));
}

/** The sending of a form that is not known to have been answered. */
export function sending(form: HTMLFormElement): Sending | undefined {
  return read()[identity(form)]?.sending;
}

/** The answer of a form came: it is no longer the same sending; of what was carried out nothing is left. */
export function settle(form: HTMLFormElement, done: boolean): void {
  const drafts = read();
  const draft = drafts[identity(form)];
  if (!draft) return;
  delete draft.sending;
  if (done) {
    draft.fields = others(form, draft);
    returned.delete(identity(form));
    told();
  }
  if (Object.values(draft.fields).every((one) => one.text === "")) delete drafts[identity(form)];
  write(drafts);
}

function forget(what: string): void {
  const drafts = read();
  delete drafts[what];
  write(drafts);
}

/** Puts drafts back into the forms they belong to; what belongs to a form that is gone is shown beside the page. */
export function restore(): void {
  for (const what of returned.keys()) if (doing(what).length === 0) returned.delete(what);
  told();
  for (const [what, draft] of Object.entries(read())) {
    if (draft.from !== here && draft.at >= opened) continue;
    const forms = doing(what);
    if (forms.some(isBusy)) continue;
    const left = { ...draft.fields };
    const form = forms.find((one) => own(one).some((field) => field.name in left));
    let filled = false;
    for (const field of form ? own(form) : []) {
      const now = !isTyped(field) && fill(field, left[field.name]?.text);
      filled ||= now;
      if (now || isTyped(field)) delete left[field.name];
    }
    if (draft.page === location.pathname) beside(what, draft, Object.values(left));
    if (form && filled) said(form, draft);
  }
}

/** Writes a text into a field; false when the field cannot hold it. */
function fill(field: Field, text: string | undefined): boolean {
  if (text === undefined) return false;
  const before = field.value;
  field.value = text;
  if (field.value !== text) {
    field.value = before;
    return false;
  }
  field.dataset["typed"] = "";
  field.dispatchEvent(new CustomEvent("zhiban:filled", { bubbles: true }));
  return true;
}

function said(form: HTMLFormElement, draft: Draft): void {
  for (let fold = form.closest("details"); fold; fold = fold.parentElement?.closest("details") ?? null) fold.open = true;
  if (draft.from === here) return;
  const { fields } = draft;
  const written = own(form).flatMap((field) => (isTyped(field) ? (fields[field.name] ?? []) : []));
  returned.set(identity(form), { name: named(form), at: whenOf(draft, written) });
  told();
}

/** When these were written: the newest of them. */
function whenOf(draft: Draft, written: Written[]): number {
  return Math.max(...written.map((one) => one.at ?? draft.at));
}

/** One notice for all that was put back; it names the forms. */
function told(): void {
  if (returned.size === 0) return unsay("drafts");
  const forms = [...returned.values()].map((one) => `${one.name} (${siteTime(one.at)})`);
  say("drafts", word("form.draft", { forms: forms.join(word("form.and")) }), "", () => returned.clear());
}

function beside(what: string, draft: Draft, left: Written[]): void {
  const texts = left.filter((one) => one.text !== "" && !one.choice);
  if (texts.length === 0) return unsay(`lost ${what}`);
  const text = texts.map((one) => `${one.label}: ${one.text}`).join("\n");
  say(`lost ${what}`, word("form.kept", { form: draft.name ?? "", time: siteTime(whenOf(draft, texts)) }), text, () => forget(what));
}

/** Listens for what is written. */
export function listenForWriting(): void {
  for (const how of ["input", "change"])
    document.addEventListener(how, (event) => {
      const field = event.target;
      if (!isField(field) || !field.form || !changes(field.form)) return;
      field.dataset["typed"] = "";
      keep(field.form);
    });
  for (const name of Object.keys(localStorage).filter((key) => key.startsWith(PREFIX))) {
    const drafts = read(name);
    const fresh = Object.entries(drafts).filter(([, draft]) => Date.now() - draft.at < KEEP);
    if (fresh.length < Object.keys(drafts).length) write(Object.fromEntries(fresh), name);
  }
  // What the server gave back was written and not sent.
  for (const form of all()) if (own(form).some(isTyped)) keep(form);
  restore();
}

/** Whether somebody wrote something that was not sent. */
export function isWritten(): boolean {
  return all().some((form) => isBusy(form) || own(form).some(isTyped));
}
