// Photos that are not known to have arrived, kept on this device under the name of who chose them, over a reload, a new
// sign-in, an outage. It must never give one person's photo to another, nor take more room than its bounds.

/** A photo as it is sent: the key stays with it, so that it arrives once however often it is sent. */
export type Photo = {
  user: string;
  /** The path of the page that it was chosen on. */
  page: string;
  key: string;
  /** What its form does, and what that is called. */
  what: string;
  label: string;
  at: number;
  from: string;
  name: string;
  type: string;
  modified: number;
  size: number;
  bytes: ArrayBuffer;
};
/** What became of a photo that was to be kept: there is no more room, or no store. */
export type Kept = "kept" | "full" | "missing";

/** The bounds for one person. */
export const MOST = 20;
export const MOST_MIB = 40;
const KEEP = 7 * 86_400_000;
/** For so long a store is waited for, that never answers in some browsers; sending must not wait for ever. */
const PATIENCE = 5000;
const STORE = "photos";

let opened: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  opened ??= new Promise<IDBDatabase>((done, failed) => {
    const asked = indexedDB.open("zhiban.photos", 1);
    asked.onupgradeneeded = () => {
      const store = asked.result.createObjectStore(STORE, { keyPath: ["user", "page", "key"] });
      store.createIndex("room", ["user", "size"]);
      store.createIndex("at", "at");
    };
    asked.onsuccess = () => {
      const lost = (): void => (opened = undefined);
      asked.result.onclose = lost;
      asked.result.onversionchange = () => {
        asked.result.close();
        lost();
      };
      done(asked.result);
    };
    asked.onerror = () => failed(asked.error);
    asked.onblocked = () => failed(new Error("blocked"));
  }).catch((error: unknown) => {
    opened = undefined;
    throw error;
  });
  return opened;
}

/** Does something with the store; the answer is given when it is on the disk. */
async function transact<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore, answer: (value: T) => void) => void): Promise<T> {
  const inTime = new Promise<never>((_, failed) => setTimeout(() => failed(new Error("no answer")), PATIENCE));
  const database = await Promise.race([open(), inTime]);
  const done = new Promise<T>((found, failed) => {
    const all = database.transaction(STORE, mode, { durability: "strict" });
    let value: T;
    all.oncomplete = () => found(value);
    all.onabort = () => failed(all.error ?? new Error("aborted"));
    work(all.objectStore(STORE), (given) => (value = given));
  });
  return Promise.race([done, inTime]);
}

/** All keys that begin with these parts: in the order of keys a list comes after every number and text. */
const under = (...parts: string[]): IDBKeyRange => IDBKeyRange.bound(parts, [...parts, []]);

/** Keeps a photo, if its writer has room for it. */
export async function shelve(photo: Photo): Promise<Kept> {
  try {
    const fits = await transact<boolean>("readwrite", (store, answer) => {
      let [photos, bytes] = [1, photo.size];
      const others = store.index("room").openKeyCursor(under(photo.user));
      others.onsuccess = () => {
        const other = others.result;
        if (other) {
          photos += 1;
          bytes += (other.key as [string, number])[1];
          return other.continue();
        }
        const room = photos <= MOST && bytes <= MOST_MIB * 1024 * 1024;
        if (room) store.put(photo);
        answer(room);
      };
    });
    return fits ? "kept" : "full";
  } catch (error) {
    return error instanceof DOMException && error.name === "QuotaExceededError" ? "full" : "missing";
  }
}

/** Lets a photo go: the server has it, or its writer does not want it. */
export async function unshelve({ user, page, key }: Photo): Promise<void> {
  // What stays in the store is offered again; its key lets it arrive once.
  await transact("readwrite", (store) => store.delete([user, page, key])).catch(() => {});
}

/** The keys of a person's photos that were chosen on a page; nothing when it cannot be read. */
export async function shelved(user: string, page: string): Promise<string[] | undefined> {
  const keys = transact<IDBValidKey[]>("readonly", (store, answer) => {
    const found = store.getAllKeys(under(user, page));
    found.onsuccess = () => answer(found.result);
  });
  return (await keys.catch(() => undefined))?.map((key) => (key as string[])[2] ?? "");
}

/** A photo; nothing when it is not there any more. */
export function take(user: string, page: string, key: string): Promise<Photo | undefined> {
  const photo = transact<Photo | undefined>("readonly", (store, answer) => {
    const found = store.get([user, page, key]);
    found.onsuccess = () => answer(found.result as Photo | undefined);
  });
  return photo.catch(() => undefined);
}

/** Forgets what is old, whoever chose it. */
export async function sweep(): Promise<void> {
  await transact("readwrite", (store) => {
    const old = store.index("at").openKeyCursor(IDBKeyRange.upperBound(Date.now() - KEEP));
    old.onsuccess = () => {
      if (!old.result) return;
      store.delete(old.result.primaryKey);
      old.result.continue();
    };
  }).catch(() => {});
}
