// One stream for all tabs of a browser: browsers allow few connections to one server.
// New tabs get the last value of every point at once.

type Row = [string, unknown, number, number | null];
type Message = { kind: string; rows?: Row[]; [more: string]: unknown };

const EVENTS = ["hello", "p", "alarm", "wo", "hb", "reload"];
const ports = new Map<MessagePort, string>();
const last = new Map<string, Row>();
let source: EventSource | undefined;
let opened = "";
let retry = 1000;
let timer: ReturnType<typeof setTimeout> | undefined;

function say(message: Message): void {
  for (const port of ports.keys()) port.postMessage(message);
}

function wanted(): string {
  const sets = new Set([...ports.values()].flatMap((sets) => sets.split(",")));
  return [...sets].filter(Boolean).sort().join(",");
}

function open(): void {
  const sets = wanted();
  clearTimeout(timer);
  if (!sets) {
    source?.close();
    source = undefined;
    opened = "";
    return;
  }
  if (source && opened === sets && source.readyState !== EventSource.CLOSED) return;
  source?.close();
  opened = sets;
  const stream = new EventSource(`/api/v1/stream?sets=${encodeURIComponent(sets)}`);
  source = stream;
  stream.onopen = () => {
    retry = 1000;
    say({ kind: "link", up: true });
  };
  stream.onerror = () => {
    const refused = stream.readyState === EventSource.CLOSED;
    say({ kind: "link", up: false, refused });
    if (refused && stream === source) again();
  };
  for (const name of EVENTS) stream.addEventListener(name, (event) => hear(name, (event as MessageEvent<string>).data));
}

/** Tries later, ever more rarely, and not with all browsers at once. */
function again(): void {
  clearTimeout(timer);
  timer = setTimeout(open, retry * (0.5 + Math.random()));
  retry = Math.min(30_000, retry * 2);
}

function hear(name: string, data: string): void {
  if (name === "p") {
    const rows = JSON.parse(data) as Row[];
    for (const row of rows) last.set(row[0], row);
    say({ kind: "rows", rows });
  } else if (name === "hb") {
    say({ kind: "beat", at: Number(data) });
  } else if (name === "hello") {
    say({ kind: "beat", at: Date.parse((JSON.parse(data) as { server_time?: string }).server_time ?? "") });
  } else {
    say({ kind: name === "reload" ? "reload" : "changed" });
  }
}

addEventListener("connect", (event) => {
  const port = (event as MessageEvent).ports[0];
  if (!port) return;
  port.onmessage = (message: MessageEvent<{ sets?: string; bye?: boolean }>) => {
    if (message.data.bye) {
      ports.delete(port);
    } else {
      ports.set(port, message.data.sets ?? "overview");
      port.postMessage({ kind: "rows", rows: [...last.values()] });
    }
    open();
  };
  port.start();
});
