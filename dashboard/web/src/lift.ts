// Moves the cars and says what they do. Between landings a car stands where its position says,
// measured against the landings it was seen at; until two are known it stands at its nearest floor.

import type { Row } from "./events";
import { word } from "./words";

type Last = (key: string) => Row | undefined;

/** For each car: the position, in its own unit, of each landing it was seen level with. */
const landings = new Map<string, Map<number, number>>();

/** Brings every picture of the named assets up to what is known. */
export function moveLifts(assets: Set<string>, last: Last): void {
  for (const element of document.querySelectorAll<HTMLElement>("[data-lift]")) {
    const code = element.dataset["lift"] ?? "";
    if (assets.has(code)) move(element, code, last);
  }
  count(last);
}

/** How many cars move, beside their title; a car that says nothing now is not one of them. */
function count(last: Last): void {
  const counter = document.querySelector<HTMLElement>("[data-cars-moving]");
  const lifts = document.querySelectorAll<HTMLElement>("[data-lift]");
  const rows = [...lifts].map((lift) => last(`${lift.dataset["lift"]}/car_moving`));
  if (!counter || rows.includes(undefined)) return;
  const n = rows.filter((row) => row !== undefined && row[1] === true && row[2] <= 1).length;
  counter.hidden = n === 0;
  const text = ` · ${word("overview.cars_moving", { n })}`;
  if (counter.textContent !== text) counter.textContent = text;
}

const order = (floor: number): number => (floor > 0 ? floor - 1 : floor);
const back = (place: number): number => (place >= 0 ? place + 1 : place);
const named = (floor: number): string => (floor > 0 ? `${floor}F` : `B${Math.max(1, Math.abs(floor))}`);

function move(element: HTMLElement, code: string, last: Last): void {
  const row = last(`${code}/floor`);
  if (!row) return;
  // What is not known to be so now, is not known.
  const value = (point: string): Row[1] => {
    const known = last(`${code}/${point}`);
    return known && known[2] <= 1 ? known[1] : null;
  };
  const [, floor, quality] = row;
  if (element.dataset["q"] !== String(quality)) element.dataset["q"] = String(quality);
  const known = age(element, TELLING.map((point) => last(`${code}/${point}`)));
  if (typeof floor !== "number") {
    put(element, "[data-lift-floor]", word("value.none"));
  } else {
    const place = placeOf(code, floor, value);
    const level = value("door_zone") !== false || value("car_moving") === true;
    put(element, "[data-lift-floor]", level ? named(floor) : between(place, floor));
    carry(element, place);
    for (const label of element.querySelectorAll<SVGElement>("[data-floor]"))
      label.classList.toggle("here", label.dataset["floor"] === named(floor));
  }
  put(element, "[data-lift-state]", sentence(element, known, value));
}

/** The points without which nobody can say what the car does, where it has them. */
const TELLING = ["floor", "car_moving", "direction", "service_mode", "door_state"];

/** Marks the picture with the worst of what says what the car does, and since when; gives whether all is known. */
function age(element: HTMLElement, rows: (Row | undefined)[]): boolean {
  const old = rows.filter((row): row is Row => row !== undefined && row[2] > 1);
  const worst = String(Math.max(0, ...old.map((row) => row[2])));
  if (element.dataset["stateQ"] !== worst) element.dataset["stateQ"] = worst;
  const times = old.map((row) => row[3]).filter((at) => at !== null);
  if (times.length > 0)
    element.querySelector("[data-lift-at]")?.setAttribute("datetime", new Date(Math.min(...times)).toISOString());
  return old.length === 0;
}

/** Where the car is, in floors counted from floor 1 as 0. */
function placeOf(code: string, floor: number, value: (point: string) => Row[1]): number {
  const at = value("car_position");
  const place = order(floor);
  if (typeof at !== "number") return place;
  const seen = landings.get(code) ?? new Map<number, number>();
  landings.set(code, seen);
  if (value("door_zone") === true && value("car_moving") === false) seen.set(place, at);
  const here = seen.get(place);
  if (here === undefined) return place;
  const towards = at > here ? place + 1 : place - 1;
  const step = height(seen, place, towards);
  if (step === undefined) return place;
  return place + Math.max(-0.5, Math.min(0.5, (at - here) / step));
}

/** The height of a storey: between the two landings when both were seen, else the usual one of the car. */
function height(seen: Map<number, number>, place: number, towards: number): number | undefined {
  const [a, b] = [seen.get(place), seen.get(towards)];
  if (a !== undefined && b !== undefined) return Math.abs(b - a);
  const [first, second] = [...seen.entries()].sort((x, y) => x[0] - y[0]).slice(-2);
  if (!first || !second) return undefined;
  return Math.abs((second[1] - first[1]) / (second[0] - first[0]));
}

function between(place: number, floor: number): string {
  const offset = place - order(floor);
  if (Math.abs(offset) < 0.05) return `${named(floor)} · ${word("lift.off_level")}`;
  const other = named(back(Math.round(order(floor) + Math.sign(offset))));
  const [low, high] = offset > 0 ? [named(floor), other] : [other, named(floor)];
  return `${low}–${high}`;
}

function carry(element: HTMLElement, place: number): void {
  const car = element.querySelector<SVGElement>("[data-car]");
  const [lo, hi, top, height] = ["lo", "hi", "top", "height"].map((name) => Number(element.dataset[name])) as [number, number, number, number];
  const share = (order(hi) - place) / Math.max(1, order(hi) - order(lo));
  if (car) car.style.transform = `translate(0, ${(top + share * height).toFixed(1)}px)`;
}

/** What the car does, in one word, nothing when that is not known; the server says the same on the first view. */
function sentence(element: HTMLElement, known: boolean, value: (point: string) => Row[1]): string {
  const data = element.dataset;
  const words = (name: string): Record<string, string> => JSON.parse(data[name] || "{}") as Record<string, string>;
  if (data["alarm"]) return data["alarm"];
  if ("off" in data) return element.querySelector("[data-lift-state]")?.textContent ?? "";
  if (!known) return "";
  const mode = value("service_mode");
  if (typeof mode === "string" && mode !== "normal") return words("modes")[mode] ?? mode;
  const direction = value("direction");
  if (value("car_moving") === true && (direction === "up" || direction === "down")) return word(`lift.${direction}`);
  const door = value("door_state");
  if (typeof door === "string" && door !== "closed") return words("doors")[door] ?? door;
  return word("lift.idle");
}

function put(element: HTMLElement, selector: string, text: string): void {
  const target = element.querySelector(selector);
  if (target && target.textContent !== text) target.textContent = text;
}
