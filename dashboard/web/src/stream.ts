// The page's end of the live stream: through the worker that all tabs share, else a stream of its own.
// The page is marked lost when nothing came for 15 seconds; nothing is then shown as if it were fresh.

import { now, siteTime, span, sync } from "./clock";
import { type Row, take } from "./values";
import { word } from "./words";

/** What the worker says to a page. */
export type Message =
  | { kind: "rows"; rows: Row[] }
  | { kind: "beat"; at: number }
  | { kind: "changed" }
  | { kind: "reload" }
  | { kind: "link"; up: boolean; refused?: boolean };

const SILENCE = 15_000;
const EVENTS = ["hello", "p", "alarm", "wo", "hb", "reload"] as const;
let heard = Date.now();
let up = false;
let changed: () => void = () => {};

/** Opens the stream; `onChange` is called when alarms or orders changed. */
export function connect(onChange: () => void): void {
  changed = onChange;
  const sets = (document.body.dataset["sets"] ?? "overview").trim();
  const worker = document.body.dataset["worker"];
  if (worker && "SharedWorker" in window) {
    const shared = new SharedWorker(worker);
    shared.port.onmessage = (event: MessageEvent<Message>) => receive(event.data);
    shared.port.start();
    shared.port.postMessage({ sets });
    addEventListener("pagehide", () => shared.port.postMessage({ bye: true }));
    addEventListener("pageshow", (event) => event.persisted && shared.port.postMessage({ sets }));
  } else {
    alone(sets);
  }
  setInterval(watch, 1000);
}

/** A stream of this tab alone, open only while somebody can see it. */
function alone(sets: string): void {
  let source: EventSource | undefined;
  const follow = (): void => {
    if (document.hidden) {
      source?.close();
      source = undefined;
    } else if (!source || source.readyState === EventSource.CLOSED) {
      source = open(sets, receive);
    }
  };
  document.addEventListener("visibilitychange", follow);
  setInterval(follow, 5000);
  follow();
}

/** Opens an event source and turns its events into messages. */
export function open(sets: string, say: (message: Message) => void): EventSource {
  const source = new EventSource(`/api/v1/stream?sets=${encodeURIComponent(sets)}`);
  source.onopen = () => say({ kind: "link", up: true });
  source.onerror = () => say({ kind: "link", up: false, refused: source.readyState === EventSource.CLOSED });
  for (const name of EVENTS) {
    source.addEventListener(name, (event) => {
      const message = read(name, (event as MessageEvent<string>).data);
      if (message) say(message);
    });
  }
  return source;
}

function read(name: (typeof EVENTS)[number], data: string): Message | undefined {
  switch (name) {
    case "p":
      return { kind: "rows", rows: JSON.parse(data) as Row[] };
    case "hb":
      return { kind: "beat", at: Number(data) };
    case "hello":
      return { kind: "beat", at: Date.parse((JSON.parse(data) as { server_time?: string }).server_time ?? "") };
    case "reload":
      return { kind: "reload" };
    case "alarm":
    case "wo":
      return { kind: "changed" };
  }
}

function receive(message: Message): void {
  if (message.kind === "link" && !message.up) {
    up = false;
    watch();
    // Refused, not merely gone: asking for the page leads to the sign-in when the session is over.
    if (message.refused) changed();
    return;
  }
  const missed = !up && Date.now() - heard > 3000;
  heard = Date.now();
  up = true;
  if (message.kind === "rows") take(message.rows);
  if (message.kind === "beat") sync(message.at);
  if (message.kind === "changed" || message.kind === "reload" || missed) changed();
  watch();
}

function watch(): void {
  const silent = Date.now() - heard;
  const state = silent > SILENCE ? "lost" : up ? "live" : "connecting";
  const root = document.documentElement;
  if (root.dataset["link"] !== state) {
    root.dataset["link"] = state;
    const label = document.querySelector("[data-link-word]");
    if (label) label.textContent = word(state === "live" ? "frame.live" : "frame.connecting");
  }
  const banner = document.querySelector<HTMLElement>("[data-lost]");
  if (!banner) return;
  banner.hidden = state !== "lost";
  if (state === "lost") {
    const text = word("frame.lost", { age: span(silent), time: siteTime(now() - silent) });
    if (banner.textContent !== text) banner.textContent = text;
  }
}

/** Shows the state of the link again, after the page's frame was replaced. */
export function showLink(): void {
  const state = document.documentElement.dataset["link"];
  const label = document.querySelector("[data-link-word]");
  if (label) label.textContent = word(state === "live" ? "frame.live" : "frame.connecting");
  watch();
}
