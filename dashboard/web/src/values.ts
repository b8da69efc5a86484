// Puts live values into the page: texts, marks for the style sheet, and shapes that move.
// A value that is not there is shown as such; an old one keeps its text and is marked old.

import type { Row } from "./events";
import { moveLifts } from "./lift";
import { visible, word } from "./words";

const STALE = 3;
const known = new Map<string, Row>();
const listeners = new Set<(row: Row) => void>();
let index = new Map<string, HTMLElement[]>();
let waiting = new Map<string, Row>();
let frame = 0;

/** What is known of a point. */
export function last(key: string): Row | undefined {
  return known.get(key);
}

/** Calls back for every new row. */
export function onRow(listener: (row: Row) => void): void {
  listeners.add(listener);
}

/** Forgets every value: the link is gone, so that none of them may be laid over what the server says later. */
export function forget(): void {
  known.clear();
  waiting.clear();
}

/** Finds every element that shows a point; to be called again after the page changed. */
export function bind(): void {
  index = new Map();
  for (const element of document.querySelectorAll<HTMLElement>("[data-v],[data-c],[data-y],[data-at]")) {
    const keys = new Set(["v", "c", "y", "at"].map((name) => element.dataset[name]));
    for (const key of keys) {
      if (key === undefined) continue;
      const list = index.get(key);
      if (list) list.push(element);
      else index.set(key, [element]);
    }
  }
  for (const row of known.values()) waiting.set(row[0], row);
  draw();
}

/** Whether what is shown of a point is marked by an alarm. */
function marked(key: string): boolean {
  return (index.get(key) ?? []).some((element) => element.closest(".ab") !== null);
}

/**
 * Takes new rows; they are drawn with the next frame. Says whether the page must be asked for again: something
 * fell silent or speaks again, or a state that an alarm marks is another now, so that the mark may not be true any more.
 */
export function take(rows: Row[]): boolean {
  let turned = false;
  for (const row of rows) {
    const before = known.get(row[0]);
    turned ||= before !== undefined && (before[2] === STALE) !== (row[2] === STALE);
    turned ||= before !== undefined && typeof row[1] !== "number" && before[1] !== row[1] && marked(row[0]);
    known.set(row[0], row);
    waiting.set(row[0], row);
    for (const listener of listeners) listener(row);
  }
  if (!frame && waiting.size > 0) frame = requestAnimationFrame(draw);
  return turned;
}

function draw(): void {
  cancelAnimationFrame(frame);
  frame = 0;
  const rows = waiting;
  waiting = new Map();
  const assets = new Set<string>();
  for (const [key, row] of rows) {
    assets.add(key.split("/", 1)[0] ?? "");
    for (const element of index.get(key) ?? []) show(element, key, row);
  }
  moveLifts(assets, last);
}

function show(element: HTMLElement, key: string, row: Row): void {
  const [, value, quality, at] = row;
  const data = element.dataset;
  if (data["c"] === key) {
    set(element, "val", value === null ? "" : String(value));
    set(element, "q", String(quality));
  }
  if (data["at"] === key) dated(element, at);
  if (data["y"] === key && typeof value === "number") shift(element, value);
  if (data["v"] !== key) return;
  const wanted = visible(format(element, value));
  if (element.textContent !== wanted) element.textContent = wanted;
  set(element, "q", String(quality));
  element.toggleAttribute("data-none", value === null);
  if (quality === 0) element.removeAttribute("title");
  const card = element.closest<HTMLElement>("[data-card]");
  // A card that is about a point of its own does not follow another one that stands in it.
  if (!card || (card.dataset["c"] ?? key) !== key) return;
  set(card, "q", String(quality));
  const age = card.querySelector<HTMLElement>(".age time");
  if (age) dated(age, at);
}

function dated(element: HTMLElement, at: number | null): void {
  if (at !== null) element.setAttribute("datetime", new Date(at).toISOString());
}

function set(element: HTMLElement, name: string, value: string): void {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}

function shift(element: HTMLElement, value: number): void {
  const data = element.dataset;
  const [min, max, top, height] = [data["min"], data["max"], data["top"], data["height"]].map(Number) as [number, number, number, number];
  const share = (max - Math.min(max, Math.max(min, value))) / (max - min || 1);
  element.style.transform = `translate(0, ${(top + share * height).toFixed(1)}px)`;
  element.classList.remove("none");
}

/** A value as people read it, as the server writes it too. */
export function format(element: HTMLElement, value: Row[1]): string {
  if (value === null || value === "") return word("value.none");
  const codes = element.dataset["w"];
  if (codes) {
    const found = (JSON.parse(codes) as Record<string, string>)[String(value)];
    if (found !== undefined) return found;
  }
  if (typeof value === "number") return number(value, Number(element.dataset["d"] ?? 0));
  // A whole number that numbers here cannot hold comes as its digits.
  return element.dataset["k"] === "counter" ? grouped(String(value)) : plain(String(value));
}

/** Marks that turn the direction of writing are shown, as the server shows them, and turn nothing. */
function plain(text: string): string {
  return text.replace(/[\u202A-\u202E\u2066-\u2069]/g, (mark) => `[U+${mark.charCodeAt(0).toString(16).toUpperCase()}]`);
}

/** Fixed decimals, commas from 10 000 on, no negative zero. */
export function number(value: number, decimals: number): string {
  let text = value.toFixed(decimals);
  if (Number(text) === 0) text = text.replace("-", "");
  return grouped(text);
}

function grouped(text: string): string {
  const [whole = "", part] = text.split(".");
  const digits = whole.replace("-", "");
  const grouped = digits.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, ",") : whole;
  return part === undefined ? grouped : `${grouped}.${part}`;
}
