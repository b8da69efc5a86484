// The page's end of the live stream: through the worker that all tabs share, else a stream of its own.
// The page is marked lost when nothing came for 15 seconds; nothing is then shown as if it were fresh.

import { now, siteTime, span, sync } from "./clock";
import { type Message, open, SILENCE } from "./events";
import { forget, take } from "./values";
import { compare } from "./version";
import { word } from "./words";

const sets = (document.body.dataset["sets"] ?? "overview").trim();
let heard = Date.now();
let up = false;
let changed: () => void = () => {};

/** Opens the stream; `onChange` is called when alarms or orders may have changed. */
export function connect(onChange: () => void): void {
  changed = onChange;
  const worker = document.body.dataset["worker"];
  if (worker && "SharedWorker" in window) share(worker);
  else alone();
  setInterval(watch, 1000);
}

/** Listens through the worker, which must know that this tab is there, and which one is looked at. */
function share(worker: string): void {
  const { port } = new SharedWorker(worker);
  const here = (front: boolean): void => port.postMessage({ sets, front });
  port.onmessage = (event: MessageEvent<Message>) => {
    if (event.data.kind === "beat") here(false);
    receive(event.data);
  };
  port.start();
  here(!document.hidden);
  addEventListener("pagehide", () => port.postMessage({ bye: true }));
  addEventListener("pageshow", (event) => event.persisted && here(true));
  document.addEventListener("visibilitychange", () => document.hidden || here(true));
}

/** A stream of this tab alone, open only while somebody can see it. */
function alone(): void {
  let source: EventSource | undefined;
  const follow = (): void => {
    const dead = source?.readyState === EventSource.OPEN && Date.now() - heard > SILENCE;
    if (document.hidden || dead) {
      source?.close();
      source = undefined;
    }
    if (!document.hidden && (!source || source.readyState === EventSource.CLOSED)) source = open(sets, receive);
  };
  document.addEventListener("visibilitychange", follow);
  setInterval(follow, 5000);
  follow();
}

function receive(message: Message): void {
  if (message.kind === "lost") {
    lose();
    // Refused, not merely gone: asking for the page leads to the sign-in when the session is over.
    if (message.refused) changed();
    return;
  }
  if (message.kind === "hello") begin(message.sets, message.version);
  if (message.kind === "hello" || message.kind === "beat") sync(message.at);
  if (message.kind === "changed") changed();
  if (up) heard = Date.now();
  // What the server writes of links and counts changes with it, without any other event.
  if (up && message.kind === "rows" && take(message.rows)) changed();
  watch();
}

/** A stream begins. What happened since the page was drawn, nobody will tell: it is asked for again. */
function begin(carried: string[], version: string): void {
  // A stream that carries nothing of this page says nothing about its values.
  if (sets.split(",").some((name) => carried.includes(name))) up = true;
  else lose();
  compare(version);
  changed();
}

/** What is known is known no longer: the server's page has the last word until the stream is back. */
function lose(): void {
  up = false;
  forget();
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
