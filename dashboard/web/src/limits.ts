// How long a text may be: said while it is written, and refused with the figures. Nothing is ever cut.

import { type Field, fields, isField, label, own } from "./forms";
import { refuse } from "./refusals";
import { word } from "./words";

/** From this share of the limit on the count is shown. */
const NEAR = 0.8;
const counters = new WeakMap<Field, HTMLElement>();

/** Letters as the server counts them. */
const length = (text: string): number => [...text.replaceAll("\r\n", "\n").trim()].length;

function most(field: Field): number {
  return Number(field.dataset["max"] ?? Infinity);
}

function count(field: Field): void {
  const max = most(field);
  if (!Number.isFinite(max)) return;
  const n = length(field.value);
  let counter = counters.get(field);
  if (n < max * NEAR) {
    counter?.remove();
    return;
  }
  if (!counter) {
    counter = own("small", "count n");
    counters.set(field, counter);
  }
  if (field.nextElementSibling !== counter) field.after(counter);
  counter.textContent = `${n} / ${max}`;
  counter.classList.toggle("over", n > max);
}

/** Refuses a form with a text that is too long; false when there is none. */
export function refusesLength(form: HTMLFormElement): boolean {
  const long = fields(form).filter((field) => length(field.value) > most(field));
  if (long.length === 0) return false;
  const faults = long.map((field) => ({
    field,
    text: `${label(field)}: ${word("form.too_long", { max: most(field), n: length(field.value) })}`,
  }));
  refuse(form, word("form.refused"), faults);
  return true;
}

/** Listens for what is written, and counts it. */
export function listenForLength(): void {
  for (const how of ["input", "zhiban:filled"])
    document.addEventListener(how, (event) => {
      if (isField(event.target)) count(event.target);
    });
}
