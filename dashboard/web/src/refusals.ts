// What became of a form that was not carried out: why, at which field, and what stands now. What was written stays.

import { fields, identity, label, own } from "./forms";
import { say, unsay } from "./notices";
import { visible, word } from "./words";

type Fault = { field: HTMLElement; text: string };
/** What of a problem document (RFC 9457) people are told. */
type Problem = { detail?: string; errors?: { pointer: string; message: string }[] };

/** Says why a form was not taken: over the page, and at each field, which is unfolded and gets the focus. */
export function refuse(form: HTMLFormElement, why: string, faults: Fault[] = []): void {
  clear(form);
  say(identity(form), [why, ...faults.map((one) => one.text)].join(" "));
  for (const { field, text } of faults) {
    field.setAttribute("aria-invalid", "true");
    field.dataset["refused"] = "";
    const line = own("em", "fe");
    line.textContent = visible(text);
    field.after(line);
    for (let fold = field.closest("details"); fold; fold = fold.parentElement?.closest("details") ?? null) fold.open = true;
  }
  faults[0]?.field.focus();
}

/** Takes back what was said of a form. */
export function clear(form: HTMLFormElement): void {
  unsay(identity(form));
  for (const field of fields(form)) forgive(field);
  form.querySelector("[data-unsent]")?.remove();
}

function forgive(field: HTMLElement): void {
  if (!("refused" in field.dataset)) return;
  delete field.dataset["refused"];
  field.removeAttribute("aria-invalid");
  if (field.nextElementSibling?.matches("em.fe[data-own]")) field.nextElementSibling.remove();
}

/** The server's refusal of a form. */
export function refused(form: HTMLFormElement, xhr: XMLHttpRequest): void {
  const problem = read(xhr);
  const faults: Fault[] = [];
  const others: string[] = [];
  for (const { pointer, message } of problem.errors ?? []) {
    const field = fields(form).find((one) => `/${one.name}` === pointer);
    if (field) faults.push({ field, text: `${label(field)}: ${message}` });
    else others.push(message);
  }
  const detail = problem.detail ?? word("form.failed_status", { status: xhr.status });
  refuse(form, [word("form.refused"), detail, ...others].join(" "), faults);
}

function read(xhr: XMLHttpRequest): Problem {
  try {
    return JSON.parse(xhr.responseText) as Problem;
  } catch {
    return {};
  }
}

/** A form that no answer came for says so, and keeps what was written for another try. */
export function unsent(form: HTMLFormElement): void {
  clear(form);
  say(identity(form), word("form.not_sent"));
}

/** Listens for corrections: a mark goes when its field is written in. */
export function listenForCorrections(): void {
  document.addEventListener("input", (event) => forgive(event.target as HTMLElement));
}
