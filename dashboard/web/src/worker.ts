// One stream for all tabs of a browser: browsers allow few connections to one server.
// What it remembers of the values it gives away only while they are live; it must never pass on old ones as new.

import { type Hello, type Message, type Row, SILENCE, open as listen } from "./events";

type Tab = { sets: string; missed: number };

/** The most sets that one stream carries. */
const MOST_SETS = 16;
/** A tab that left so many beats without an answer is gone or asleep. */
const MOST_MISSED = 3;

/** The tabs, the one that was looked at last at the end. */
const tabs = new Map<MessagePort, Tab>();
const last = new Map<string, Row>();
let source: EventSource | undefined;
let opened = "";
/** What the stream began with; nothing while there is none. */
let hello: Hello | undefined;
let heard = Date.now();
let retry = 1000;
let timer: ReturnType<typeof setTimeout> | undefined;

function say(message: Message): void {
  for (const port of tabs.keys()) port.postMessage(message);
}

/** What the tabs show: the overview, and of more than fit those that were looked at last. */
function wanted(): string {
  const all = [...tabs.values()].reverse().flatMap((tab) => tab.sets.split(","));
  const first = all.filter((name) => name === "overview");
  const sets = new Set([...first, ...all.filter(Boolean)]);
  return [...sets].slice(0, MOST_SETS).sort().join(",");
}

/** Opens the stream that is wanted, unless it is open. */
function open(): void {
  const sets = wanted();
  if (source && opened === sets && source.readyState !== EventSource.CLOSED) return;
  clearTimeout(timer);
  source?.close();
  source = undefined;
  opened = sets;
  forget();
  if (!sets) return;
  heard = Date.now();
  const stream = listen(sets, (message) => {
    if (stream === source) hear(message);
  });
  source = stream;
}

/** Tries later, ever more rarely, and not with all browsers at once. */
function again(): void {
  clearTimeout(timer);
  timer = setTimeout(open, retry * (0.5 + Math.random()));
  retry = Math.min(30_000, retry * 2);
}

function forget(): void {
  hello = undefined;
  last.clear();
}

function hear(message: Message): void {
  heard = Date.now();
  if (message.kind === "hello") {
    retry = 1000;
    hello = message;
  }
  if (message.kind === "rows") for (const row of message.rows) last.set(row[0], row);
  if (message.kind === "lost") forget();
  say(message);
  if (message.kind === "lost" && message.refused) again();
  if (message.kind === "beat") count();
}

/** Tabs answer each beat; one that does not any more must not keep its sets. */
function count(): void {
  for (const [port, tab] of tabs) {
    tab.missed += 1;
    if (tab.missed > MOST_MISSED) tabs.delete(port);
  }
  open();
}

/** A tab says what it shows: at its start, when it is looked at, and after each beat. */
function meet(port: MessagePort, sets: string, front: boolean): void {
  const known = tabs.get(port);
  if (known) known.missed = 0;
  if (known?.sets === sets && !front) return;
  tabs.delete(port);
  tabs.set(port, { sets, missed: 0 });
  open();
  if (known || !hello) return;
  // The stream began before this tab: what came between its page and now is not in the page. Its clock is known.
  port.postMessage({ ...hello, at: NaN, heard } satisfies Message);
  port.postMessage({ kind: "rows", rows: [...last.values()], heard } satisfies Message);
}

addEventListener("connect", (event) => {
  const port = (event as MessageEvent).ports[0];
  if (!port) return;
  port.onmessage = (message: MessageEvent<{ sets?: string; front?: boolean; bye?: boolean; there?: boolean }>) => {
    const { sets, front, bye, there } = message.data;
    if (there) {
      port.postMessage({ kind: "here" } satisfies Message);
    } else if (bye) {
      tabs.delete(port);
      open();
    } else {
      meet(port, sets ?? "overview", front === true);
    }
  };
  port.start();
});

// A connection that died without a word stays open for the browser: it is opened anew.
setInterval(() => {
  if (source?.readyState !== EventSource.OPEN || Date.now() - heard < SILENCE) return;
  say({ kind: "lost", refused: false });
  source.close();
  open();
}, 5000);
