// The page's end of the live stream: through the worker that all tabs share, else a stream of its own.
// From the first missed beat on the page says since when nothing is known; nothing is then shown as if it were fresh.

import { now, siteTime, span, sync } from "./clock";
import { type Message, MISSED, open, SILENCE } from "./events";
import { behindSince } from "./refresh";
import { forget, take } from "./values";
import { compare } from "./version";
import { word } from "./words";

const sets = (document.body.dataset["sets"] ?? "overview").trim();
let heard = Date.now();
let up = false;
let changed: () => void = () => {};

/** How often the worker is asked whether it is there; it answers at once. */
const ASK = 5000;
/** So many questions without an answer, and the worker is gone; on a busy device one may answer late. */
const UNANSWERED = 4;
/** So many workers are tried before a tab listens for itself. */
const WORKERS = 3;

/** Opens the stream; `onChange` is called when alarms or orders may have changed. */
export function connect(onChange: () => void): void {
  changed = onChange;
  const worker = document.body.dataset["worker"];
  if (worker && "SharedWorker" in window) share(worker);
  else alone();
  setInterval(watch, 1000);
}

/** Listens through the worker, which must know that this tab is there, and which one is looked at. */
function share(worker: string, turn = 1): void {
  let unanswered = 0;
  // One that died is not started again under its name.
  const { port } = new SharedWorker(worker, `stream ${turn}`);
  const here = (front: boolean): void => port.postMessage({ sets, front });
  port.onmessage = (event: MessageEvent<Message>) => {
    unanswered = 0;
    if (event.data.kind === "beat") here(false);
    receive(event.data);
  };
  port.start();
  here(!document.hidden);
  const bye = (): void => port.postMessage({ bye: true });
  const back = (event: PageTransitionEvent): void => void (event.persisted && here(true));
  const look = (): void => void (document.hidden || here(true));
  addEventListener("pagehide", bye);
  addEventListener("pageshow", back);
  document.addEventListener("visibilitychange", look);
  const asking = setInterval(() => {
    if (unanswered < UNANSWERED) {
      unanswered += 1;
      port.postMessage({ there: true });
      return;
    }
    // It is gone, whatever the gateway does: another one is started, at last a stream of this tab's own.
    clearInterval(asking);
    removeEventListener("pagehide", bye);
    removeEventListener("pageshow", back);
    document.removeEventListener("visibilitychange", look);
    port.close();
    lose();
    if (turn < WORKERS) share(worker, turn + 1);
    else alone();
  }, ASK);
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
  if (message.kind === "here") return;
  if (message.kind === "lost") {
    lose();
    // Refused, not merely gone: asking for the page leads to the sign-in when the session is over.
    if (message.refused) changed();
    return;
  }
  if (message.kind === "hello") begin(message.sets, message.version);
  if (message.kind === "hello" || message.kind === "beat") sync(message.at);
  if (message.kind === "changed") changed();
  // Only the gateway's own word counts, at the time at which it came.
  if (up) heard = ("heard" in message ? message.heard : undefined) ?? Date.now();
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

/** How long nothing is known: since the last word of the gateway, or since a change that is not shown yet. */
function silence(): number {
  const at = Date.now();
  return at - Math.min(heard, behindSince() ?? at);
}

function watch(): void {
  const silent = silence();
  const state = silent > MISSED ? "lost" : up ? "live" : "connecting";
  const root = document.documentElement;
  if (root.dataset["link"] !== state) root.dataset["link"] = state;
  put("[data-link-word]", word(`frame.${state === "lost" ? "no_link" : state}`));
  const values = { age: span(silent), time: siteTime(now() - silent) };
  for (const [selector, key] of [
    ["[data-lost]", "frame.lost"],
    ["[data-unknown]", "bar.unknown"],
  ] as const) {
    const element = document.querySelector<HTMLElement>(selector);
    if (element) element.hidden = state !== "lost";
    if (state === "lost") put(selector, word(key, values));
  }
}

function put(selector: string, text: string): void {
  const element = document.querySelector(selector);
  if (element && element.textContent !== text) element.textContent = text;
}

/** Shows the state of the link again, after the page's frame was replaced. */
export function showLink(): void {
  watch();
}
