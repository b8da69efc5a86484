// Opens the live stream and turns its events into messages; the page and the shared worker both use it.
// It must not touch the page: a worker has none.

/** Key, value, quality (0 good, 1 uncertain, 2 bad, 3 stale), time in milliseconds. */
export type Row = [string, number | string | boolean | null, number, number | null];

/** When the gateway said something that is passed on later, in milliseconds of the browser's clock. */
type Later = { heard?: number };

/** The beginning of a stream: the server's time, its version, and the sets it carries. */
export type Hello = { kind: "hello"; at: number; version: string; sets: string[] } & Later;

/** What is said to a page. */
export type Message =
  | Hello
  | ({ kind: "rows"; rows: Row[] } & Later)
  | { kind: "beat"; at: number }
  | { kind: "changed" }
  /** The worker's own answer: it says nothing of the gateway. */
  | { kind: "here" }
  | { kind: "lost"; refused: boolean };

/** The server beats every 2 s. After so long without a word a beat is missed: nothing is known of now. */
export const MISSED = 4000;
/** Without a word for so long a stream is taken for dead, and opened anew. */
export const SILENCE = 10_000;

const EVENTS = ["hello", "p", "alarm", "wo", "hb", "reload"] as const;

/** Opens the stream of these sets. */
export function open(sets: string, say: (message: Message) => void): EventSource {
  const source = new EventSource(`/api/v1/stream?sets=${encodeURIComponent(sets)}`);
  source.onerror = () => say({ kind: "lost", refused: source.readyState === EventSource.CLOSED });
  for (const name of EVENTS) source.addEventListener(name, (event) => say(read(name, (event as MessageEvent<string>).data)));
  return source;
}

function read(name: (typeof EVENTS)[number], data: string): Message {
  switch (name) {
    case "p":
      return { kind: "rows", rows: JSON.parse(data) as Row[] };
    case "hb":
      return { kind: "beat", at: Number(data) };
    case "hello": {
      const said = JSON.parse(data) as { server_time: number; version: string; sets: string[] };
      return { kind: "hello", at: said.server_time, version: said.version, sets: said.sets };
    }
    case "alarm":
    case "wo":
    case "reload":
      return { kind: "changed" };
  }
}
