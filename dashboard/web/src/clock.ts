// Everything that ticks: the site's clock, ages, time left. Uses the server's time, never the browser's own zone.

import { word } from "./words";

let skew = Number(document.body.dataset["now"] ?? Date.now()) - Date.now();
const zone = document.body.dataset["zone"] ?? "UTC";

/** Takes over the server's time. */
export function sync(server: number): void {
  if (Number.isFinite(server)) skew = server - Date.now();
}

/** Milliseconds of the server's clock. */
export function now(): number {
  return Date.now() + skew;
}

/** A span in words, two units at most. */
export function span(millis: number): string {
  const seconds = Math.floor(Math.abs(millis) / 1000);
  const two = (a: number, x: string, b: number, y: string): string =>
    `${a} ${word(`span.${x}`)} ${b} ${word(`span.${y}`)}`;
  if (seconds < 60) return `${seconds} ${word("span.second")}`;
  if (seconds < 3600) return two(Math.floor(seconds / 60), "minute", seconds % 60, "second");
  if (seconds < 86400) return two(Math.floor(seconds / 3600), "hour", Math.floor(seconds / 60) % 60, "minute");
  return two(Math.floor(seconds / 86400), "day", Math.floor(seconds / 3600) % 24, "hour");
}

const pad = (n: number): string => String(n).padStart(2, "0");

function countdown(millis: number): string {
  const seconds = Math.floor(Math.abs(millis) / 1000);
  const sign = millis < 0 ? "−" : "";
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${sign}${minutes}:${pad(seconds % 60)}`;
  return `${sign}${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(seconds % 60)}`;
}

let face: Intl.DateTimeFormat | undefined;

/** The site's time of day. */
export function siteTime(millis: number): string {
  return new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(millis);
}

function clockText(millis: number): string {
  face ??= new Intl.DateTimeFormat(document.documentElement.lang, {
    timeZone: zone,
    month: "short",
    day: "numeric",
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  });
  return face.format(millis);
}

function text(element: HTMLElement, at: number): string | undefined {
  if ("clock" in element.dataset) return clockText(at);
  const time = Date.parse(element.getAttribute("datetime") ?? "");
  if (Number.isNaN(time)) return undefined;
  const age = element.dataset["age"];
  if (age !== undefined) return age === "ago" ? word("span.ago", { age: span(at - time) }) : span(at - time);
  if ("count" in element.dataset) return countdown(time - at);
  const key = at > time ? "span.over" : "span.left";
  return word(key, { age: span(time - at) });
}

/** Brings every ticking text of the page up to now. */
export function tick(): void {
  const at = now();
  for (const element of document.querySelectorAll<HTMLElement>("time[data-age],time[data-due],time[data-count],[data-clock]")) {
    const wanted = text(element, at);
    if (wanted !== undefined && element.textContent !== wanted) element.textContent = wanted;
  }
}
