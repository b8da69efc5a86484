// The trend of one point: lowest and highest of each bucket as a band, the last value as a line, gaps as gaps.
// Loaded only on pages that have one. Times are the site's.

import uPlot from "uplot";
import { now, span } from "./clock";
import type { Row } from "./events";
import { number } from "./values";
import { word } from "./words";

type Series = { t: (number | string)[]; min: (number | null)[]; max: (number | null)[]; last: (number | null)[]; step_ms: number };
/** When it began, when it ended, its priority, its title. */
type Mark = [number, number | null, number, string];

const HEIGHT = 260;
const zone = document.body.dataset["zone"] ?? "UTC";
const shown = new WeakMap<HTMLElement, string>();

const css = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

async function load(element: HTMLElement): Promise<void> {
  const { key = "", from = "", to = "" } = element.dataset;
  const wanted = `${key} ${from}`;
  if (shown.get(element) === wanted) return;
  shown.set(element, wanted);
  element.querySelector(".uplot")?.remove();
  element.querySelector(".sum")?.remove();
  say(element, word("asset.trend_loading"));
  const width = Math.max(240, Math.floor(element.clientWidth));
  const query = new URLSearchParams({ from: iso(from), to: iso(to), px: String(Math.min(4000, width)) });
  try {
    const answer = await fetch(`/api/v1/points/${key.split("/").map(encodeURIComponent).join("/")}/series?${query}`);
    if (!answer.ok) throw new Error(String(answer.status));
    draw(element, (await answer.json()) as Series, width);
  } catch {
    shown.delete(element);
    say(element, word("asset.trend_failed"));
  }
}

const iso = (millis: string): string => new Date(Number(millis)).toISOString();

function say(element: HTMLElement, text: string): void {
  const note = element.querySelector<HTMLElement>("[data-trend-note]");
  if (!note) return;
  note.textContent = text;
  note.hidden = text === "";
}

function draw(element: HTMLElement, series: Series, width: number): void {
  const times = series.t.map((t) => (typeof t === "number" ? t : Date.parse(t)) / 1000);
  if (!series.last.some((value) => value !== null)) {
    say(element, word("asset.trend_empty"));
    return;
  }
  say(element, "");
  const data: uPlot.AlignedData = [times, series.min, series.max, series.last];
  const plot = new uPlot(options(element, width), data, element);
  summarize(element, series);
  element.addEventListener("zhiban:retold", () => plot.redraw());
  if ("live" in element.dataset) follow(element, plot, data);
  new ResizeObserver(() => plot.setSize({ width: Math.max(240, Math.floor(element.clientWidth)), height: HEIGHT })).observe(element);
}

function options(element: HTMLElement, width: number): uPlot.Options {
  const data = element.dataset;
  const [ink2, line, live, band] = ["--ink2", "--line", "--live", "--band"].map(css) as [string, string, string, string];
  const font = `12px ${css("--font")}`;
  const value = (n: number | null): string => text(data, n);
  const flag = data["flag"] !== undefined;
  return {
    width,
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
    padding: [16, 26, 0, 0],
    legend: { show: false },
    cursor: { y: false },
    scales: { x: { range: (_plot, low, high) => extent(data, low, high) }, y: { range: (_plot, low, high) => (flag ? [-0.1, 1.1] : room(low, high)) } },
    axes: [
      {
        stroke: ink2,
        font,
        grid: { stroke: line, width: 1 },
        ticks: { stroke: line },
        values: (_plot, splits) => splits.map((at) => axisTime(at, splits)),
      },
      {
        stroke: live,
        font,
        size: 62,
        grid: { stroke: line, width: 1 },
        ticks: { show: false },
        ...(flag ? { splits: [0, 1] } : {}),
        values: (_plot, splits) => splits.map((n) => (n === null ? "" : flag ? value(n) : number(n, places(splits)))),
      },
    ],
    series: [
      {},
      { stroke: "transparent", points: { show: false } },
      { stroke: "transparent", points: { show: false } },
      { label: data["name"] ?? "", stroke: live, width: 1.6, points: { show: false }, spanGaps: false, ...(flag && uPlot.paths.stepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}) },
    ],
    bands: [{ series: [2, 1], fill: band }],
    hooks: { draw: [(plot) => marks(plot, JSON.parse(data["marks"] || "[]") as Mark[])], setCursor: [(plot) => point(element, plot, value)] },
  };
}

/** The time asked for; when the records begin only in its second half, from there, but a minute at least. */
function extent(data: DOMStringMap, low: number, high: number): [number, number] {
  const from = Number(data["from"]) / 1000;
  const to = Math.max(high, Number(data["to"]) / 1000);
  const late = low > (from + to) / 2;
  return [late ? Math.min(low - (to - low) * 0.04, to - 60) : Math.min(low, from), to];
}

/** Some air above and below, also around a value that does not change. */
function room(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1];
  const air = Math.max((high - low) * 0.08, Math.abs(high) * 0.005, 1e-3);
  return [low - air, high + air];
}

/** A value in words: a flag's own, or a number with the point's decimals. */
function text(data: DOMStringMap, n: number | null | undefined): string {
  if (n === null || n === undefined) return word("value.none");
  const words = data["flag"] === undefined ? undefined : (JSON.parse(data["flag"]) as string[]);
  // Where not every whole number can be held, this one may be its neighbour.
  const near = Math.abs(n) > Number.MAX_SAFE_INTEGER ? "≈ " : "";
  return words?.[Math.round(n)] ?? near + number(n, Number(data["d"] ?? 0));
}

/** As many decimals as tell the axis' steps apart. */
function places(splits: number[]): number {
  const whole = (n: number): boolean => Math.abs(n - Math.round(n)) < 1e-6;
  return [0, 1, 2, 3].find((count) => splits.every((n) => n === null || whole(n * 10 ** count))) ?? 3;
}

function axisTime(seconds: number, splits: number[]): string {
  const range = (splits.at(-1) ?? 0) - (splits[0] ?? 0);
  const time: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const parts: Intl.DateTimeFormatOptions =
    range > 2 * 86400 ? { month: "2-digit", day: "2-digit" } : range < 600 ? { ...time, second: "2-digit" } : time;
  return new Intl.DateTimeFormat(range > 2 * 86400 ? "en-CA" : "en-GB", { ...parts, timeZone: zone }).format(seconds * 1000);
}

/** Alarms as lines with their priority's shape; a foot under the curve shows how long the fault was there. */
function marks(plot: uPlot, list: Mark[]): void {
  const pen = plot.ctx;
  const dot = devicePixelRatio;
  const { left, top, width, height } = plot.bbox;
  let before = -Infinity;
  let lane = 0;
  for (const [at, end, priority, title] of list) {
    const x = plot.valToPos(at / 1000, "x", true);
    const over = plot.valToPos((end ?? now()) / 1000, "x", true);
    const [from, to] = [Math.max(left, x), Math.min(left + width, over)];
    if (to > from) {
      pen.fillStyle = priority < 3 ? css(`--p${priority}`) : css("--ink2");
      pen.fillRect(from, top + height - 4 * dot, to - from, 4 * dot);
    }
    if (x < left || x > left + width) continue;
    lane = x - before < width * 0.2 ? lane + 1 : 0;
    before = x;
    const y = top + (9 + lane * 18) * dot;
    pen.save();
    pen.strokeStyle = priority < 3 ? css(`--p${priority}`) : css("--ink2");
    pen.lineWidth = (priority === 1 ? 2 : 1.2) * dot;
    pen.beginPath();
    pen.moveTo(x, top);
    pen.lineTo(x, top + height);
    pen.stroke();
    shape(pen, x, y, 7 * dot, priority);
    pen.fillStyle = css("--ink");
    pen.font = `600 ${12 * dot}px ${css("--font")}`;
    // To the side on which it is whole.
    const long = pen.measureText(title).width + 13 * dot;
    const right = x + long > left + width && (x - long >= left || x > left + width / 2);
    pen.textAlign = right ? "right" : "left";
    pen.fillText(title, x + (right ? -13 : 13) * dot, y + 4 * dot);
    pen.restore();
  }
}

function shape(pen: CanvasRenderingContext2D, x: number, y: number, r: number, priority: number): void {
  pen.beginPath();
  if (priority === 1) pen.rect(x - r, y - r, 2 * r, 2 * r);
  else if (priority === 2) polygon(pen, [x, y - r * 1.2, x + r * 1.2, y + r, x - r * 1.2, y + r]);
  else if (priority === 3) polygon(pen, [x, y - r * 1.2, x + r * 1.2, y, x, y + r * 1.2, x - r * 1.2, y]);
  else pen.arc(x, y, r, 0, 2 * Math.PI);
  pen.fillStyle = css(`--p${priority}`);
  pen.fill();
  pen.strokeStyle = css("--outline");
  pen.lineWidth = r / 7;
  pen.stroke();
  pen.fillStyle = css(`--p${priority}i`);
  pen.font = `700 ${r * 1.4}px ${css("--font")}`;
  pen.textAlign = "center";
  pen.fillText(String(priority), x, y + r * (priority === 2 ? 0.75 : 0.5));
}

function polygon(pen: CanvasRenderingContext2D, corners: number[]): void {
  for (let i = 0; i < corners.length; i += 2) pen.lineTo(corners[i] ?? 0, corners[i + 1] ?? 0);
  pen.closePath();
}

/** The value under the cursor, in words, beside the summary. */
function point(element: HTMLElement, plot: uPlot, value: (n: number | null) => string): void {
  const sum = element.querySelector<HTMLElement>(".sum");
  const index = plot.cursor.idx;
  if (!sum) return;
  if (index === null || index === undefined) {
    sum.textContent = sum.dataset["all"] ?? "";
    return;
  }
  const at = (plot.data[0][index] ?? 0) * 1000;
  const full = new Intl.DateTimeFormat(document.documentElement.lang, { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
  const [min, max, now] = [1, 2, 3].map((series) => plot.data[series]?.[index] ?? null) as (number | null)[];
  const wide = min !== max ? ` (${value(min ?? null)} – ${value(max ?? null)})` : "";
  sum.textContent = `${full.format(at)} · ${value(now ?? null)} ${element.dataset["unit"] ?? ""}${wide}`;
}

/** One sentence for who does not see the picture. */
function summarize(element: HTMLElement, series: Series): void {
  const of = (values: (number | null)[]): number[] => values.filter((n): n is number => n !== null);
  const said = (n: number | undefined): string => text(element.dataset, n);
  const low = of(series.min).reduce((a, b) => Math.min(a, b), Infinity);
  const high = of(series.max).reduce((a, b) => Math.max(a, b), -Infinity);
  const sentence = word("asset.trend_summary", {
    name: element.dataset["name"] ?? "",
    min: said(low),
    max: said(high),
    last: said(of(series.last).at(-1)),
    unit: element.dataset["unit"] ?? "",
  });
  const sum = document.createElement("p");
  sum.className = "sum n";
  sum.dataset["all"] = sentence;
  sum.textContent = sentence;
  sum.title = span(Number(element.dataset["to"]) - Number(element.dataset["from"]));
  element.append(sum);
}

/** Adds the live value at the right end: when it comes, and while it stays as it is and the link is up. */
function follow(element: HTMLElement, plot: uPlot, data: uPlot.AlignedData): void {
  const columns = data as unknown as (number | null)[][];
  const length = (Number(element.dataset["to"]) - Number(element.dataset["from"])) / 1000;
  const key = element.dataset["key"] ?? "";
  let drawn = 0;
  const add = (row: Row | undefined, at: number): void => {
    if (!row || row[0] !== key || !element.contains(plot.root) || at <= (columns[0]?.at(-1) ?? 0)) return;
    const value = typeof row[1] === "boolean" ? Number(row[1]) : row[1];
    columns[0]?.push(at);
    for (const column of columns.slice(1)) column.push(row[2] > 1 || typeof value !== "number" ? null : value);
    while ((columns[0]?.[0] ?? 0) < at - length) for (const column of columns) column.shift();
    if (Date.now() - drawn < 1000) return;
    drawn = Date.now();
    element.dataset["to"] = String(Math.round(at * 1000));
    plot.setData(data);
  };
  const hold = (): void => {
    const link = document.documentElement.dataset["link"];
    if (link === "live") add(window.zhiban?.last(key), now() / 1000);
  };
  window.zhiban?.onRow((row) => add(row, (row[3] ?? now()) / 1000));
  hold();
  const timer = setInterval(() => (element.contains(plot.root) ? hold() : clearInterval(timer)), 5000);
}

function all(): void {
  for (const element of document.querySelectorAll<HTMLElement>("[data-trend]")) void load(element);
}

document.addEventListener("zhiban:trend", all);
all();
