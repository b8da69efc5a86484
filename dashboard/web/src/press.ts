// One press, one step. A button that has just come to be where it is takes no press for a moment: whoever presses
// then meant what was there before. A form that is on its way takes no second one.

import { all, buttons, changes, identity, isBusy } from "./forms";

/** For so long in milliseconds; the second tap of a double one comes within 400. */
const MOMENT = 500;
/** A button that moved by more pixels than this is somewhere else. */
const NEAR = 6;

type Place = readonly [number, number];

const held = new WeakMap<HTMLButtonElement, ReturnType<typeof setTimeout>>();

/** Where every button stands that changes something. */
export function places(): Map<string, Place> {
  const found = new Map<string, Place>();
  for (const [key, button] of shown()) {
    const { left, top, width } = button.getBoundingClientRect();
    if (width > 0) found.set(key, [left, top]);
  }
  return found;
}

function* shown(): Generator<[string, HTMLButtonElement]> {
  for (const form of all()) for (const [n, button] of buttons(form).entries()) yield [`${form.getAttribute("id")} ${identity(form)} ${n}`, button];
}

/** Holds every button that was not where it is now. */
export function hold(before: Map<string, Place>): void {
  for (const [key, button] of shown()) {
    const was = before.get(key);
    const { left, top } = button.getBoundingClientRect();
    if (was && Math.abs(was[0] - left) <= NEAR && Math.abs(was[1] - top) <= NEAR) continue;
    clearTimeout(held.get(button));
    held.set(button, setTimeout(() => release(button), MOMENT));
    button.setAttribute("aria-disabled", "true");
  }
}

function release(button: HTMLButtonElement): void {
  held.delete(button);
  if (!(button.form && isBusy(button.form))) button.removeAttribute("aria-disabled");
}

/** Marks a form as being on its way, or not any more. */
export function busy(form: HTMLFormElement, on: boolean): void {
  if (on) form.dataset["busy"] = "";
  else delete form.dataset["busy"];
  for (const button of buttons(form)) {
    button.setAttribute("aria-busy", String(on));
    if (on || held.has(button)) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
  }
  // Photos that are chosen meanwhile would be sent by nobody.
  for (const input of form.querySelectorAll<HTMLInputElement>("input[type=file]")) input.disabled = on;
}

/** Listens for presses, before anybody else does. */
export function listenForPresses(): void {
  const stop = (event: Event): void => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  // A key that is held down is one press, and the next step's button has the focus by then.
  document.addEventListener(
    "keydown",
    (event) => {
      const on = (kinds: string): boolean => (event.target as Element).closest(kinds) !== null;
      if (!event.repeat) return;
      if (event.key === "Enter" ? on("button,summary,input,select") : event.key === " " && on("button,summary")) stop(event);
    },
    true,
  );
  document.addEventListener("click", (event) => (event.target as Element).closest("button[aria-disabled=true]") && stop(event), true);
  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      if (form instanceof HTMLFormElement && changes(form) && isBusy(form)) stop(event);
    },
    true,
  );
}
