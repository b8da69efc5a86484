// Makes photos small before they are sent: a phone's picture is ten times what a repair record needs,
// and the line in a plant room is bad. What cannot be drawn here is sent as it is. Each photo is one sending, and is kept
// until the server has it; what did not arrive is offered again with its form. It must never send by itself what was
// chosen before: a person who sees what stands now does.

import { siteTime } from "./clock";
import { freshKey, here, opened, user } from "./drafts";
import { doing, identity, isBusy, isPage, own } from "./forms";
import { say, unsay } from "./notices";
import { busy, hold, places } from "./press";
import { refused } from "./refusals";
import { MOST, MOST_MIB, type Photo, shelve, shelved, sweep, take, unshelve } from "./shelf";
import { word } from "./words";

const LONGEST_SIDE = 1600;
const LARGE = 400 * 1024;
const QUALITY = 0.82;
/** What is wrong with one photo is not wrong with the next. */
const OF_ONE = [413, 415, 422];
/** A button that has just come takes no press for so long in milliseconds. */
const MOMENT = 500;

/** The photos that are not known to have arrived, by key. */
const waiting = new Map<string, Photo>();
/** Keys of those that the store is known to have. */
const kept = new Set<string>();
/** Keys of those that are on this page alone. */
const loose = new Set<string>();
/** Keys of those that arrived or are not wanted: the store may not know it yet. */
const gone = new Set<string>();
/** What is sent one after the other, by what the form does. */
const lines = new Map<string, string[]>();
/** The photo in a form. */
const current = new WeakMap<HTMLFormElement, Photo>();
/** The last refusal of one photo among others. */
const refusals = new Map<string, XMLHttpRequest>();
/** What is said of photos whose form is gone. */
const beside = new Set<string>();

/** Sends a form as soon as photos were chosen in it. */
export function listenForPhotos(): void {
  document.addEventListener("change", (event) => {
    const input = event.target;
    if (!(input instanceof HTMLInputElement) || !("photos" in input.dataset)) return;
    void send(input);
  });
  addEventListener("beforeunload", (event) => loose.size > 0 && event.preventDefault());
  void sweep().then(look);
}

/** Whether something would be lost or cut off by a new page. */
export function isSending(): boolean {
  return loose.size > 0 || lines.size > 0;
}

/** The key of the photo that is sent with a form. */
export function keyOf(form: HTMLFormElement): string | undefined {
  return current.get(form)?.key;
}

async function send(input: HTMLInputElement): Promise<void> {
  const chosen = [...(input.files ?? [])];
  const { form } = input;
  if (chosen.length === 0 || !form) return;
  const what = identity(form);
  const keys: string[] = [];
  busy(form, true);
  for (const file of chosen) {
    const photo = await made(file, form).catch(() => say(`unread ${what}`, word("order.photo_unread")));
    if (!photo) continue;
    const same = [...waiting.values()].find((one) => isSame(one, photo));
    keys.push((same ?? photo).key);
    if (!same) await keep(photo);
  }
  busy(form, false);
  input.value = "";
  lines.set(what, [...(lines.get(what) ?? []), ...keys]);
  step(what);
}

const isSame = (one: Photo, other: Photo): boolean =>
  one.what === other.what && one.name === other.name && one.size === other.size && one.modified === other.modified;

async function made(chosen: File, form: HTMLFormElement): Promise<Photo> {
  const file = await shrunk(chosen);
  const bytes = await file.arrayBuffer();
  return {
    user,
    page: location.pathname,
    key: freshKey(),
    what: identity(form),
    label: form.querySelector("label")?.textContent?.trim() ?? "",
    at: Date.now(),
    from: here,
    name: file.name,
    type: file.type,
    modified: file.lastModified,
    size: bytes.byteLength,
    bytes,
  };
}

async function keep(photo: Photo): Promise<void> {
  waiting.set(photo.key, photo);
  const became = await shelve(photo);
  if (became === "kept") return void kept.add(photo.key);
  loose.add(photo.key);
  say(`loose ${photo.what}`, word(`order.photos_${became}`, { most: MOST, room: MOST_MIB }));
}

function drop(photo: Photo): Promise<void> {
  gone.add(photo.key);
  waiting.delete(photo.key);
  loose.delete(photo.key);
  if (!of(photo.what).some((one) => loose.has(one.key))) unsay(`loose ${photo.what}`);
  return unshelve(photo);
}

const of = (what: string): Photo[] => [...waiting.values()].filter((one) => one.what === what);

/** Sends the next of a line; a line at its end says what was refused in it. */
function step(what: string): void {
  const form = doing(what)[0];
  // Others are being made small for it, and are sent in their turn.
  if (form && isBusy(form)) return;
  const photo = (lines.get(what) ?? []).map((key) => waiting.get(key)).find((one) => one !== undefined);
  if (form && photo) {
    put(form, photo);
    return form.requestSubmit();
  }
  lines.delete(what);
  const refusal = refusals.get(what);
  refusals.delete(what);
  if (form && refusal) refused(form, refusal);
  offer();
}

/** Puts a photo into its form, as if it were chosen there now. */
function put(form: HTMLFormElement, photo: Photo): void {
  const input = form.querySelector<HTMLInputElement>("input[data-photos]");
  if (!input) return;
  const files = new DataTransfer();
  files.items.add(new File([photo.bytes], photo.name, { type: photo.type, lastModified: photo.modified }));
  input.files = files.files;
  current.set(form, photo);
  lines.set(photo.what, (lines.get(photo.what) ?? []).filter((key) => key !== photo.key));
}

/** The server has the photo of a form. */
export function arrived(form: HTMLFormElement, xhr: XMLHttpRequest): void {
  const photo = current.get(form);
  if (photo && new URL(xhr.responseURL).pathname === photo.page) void drop(photo);
}

/** A form was answered or is known not to be. */
export function answered(form: HTMLFormElement, xhr: XMLHttpRequest): void {
  const photo = current.get(form);
  if (!photo) return;
  current.delete(form);
  for (const input of form.querySelectorAll<HTMLInputElement>("input[data-photos]")) input.value = "";
  const { what } = photo;
  const alone = OF_ONE.includes(xhr.status);
  if (alone) refusals.set(what, xhr);
  if (!alone && !isPage(xhr)) lines.delete(what);
  if (!lines.has(what)) return offer();
  // htmx takes no other sending before it is through with this one.
  setTimeout(() => step(what));
}

/** Reads what is kept of this page, which another tab may have sent meanwhile, and offers it. */
export async function look(): Promise<void> {
  const page = location.pathname;
  const known = [...waiting.values()].filter((photo) => photo.page === page && kept.has(photo.key));
  const keys = await shelved(user, page);
  for (const photo of known) if (keys && !keys.includes(photo.key)) waiting.delete(photo.key);
  for (const key of keys ?? []) {
    if (waiting.has(key) || gone.has(key)) continue;
    const photo = await take(user, page, key);
    // What was just chosen in another tab is on its way there.
    if (!photo || gone.has(key) || (photo.from !== here && photo.at >= opened)) continue;
    kept.add(key);
    waiting.set(key, photo);
  }
  offer();
}

/** Offers what did not arrive: with its form, or beside the page when that is gone. */
function offer(): void {
  const shown = [...waiting.values()].filter((one) => one.page === location.pathname || loose.has(one.key));
  const whats = new Set(shown.map((one) => one.what));
  for (const block of document.querySelectorAll("[data-unsent]")) {
    const form = block.closest("form");
    if (form && (isBusy(form) || !whats.has(identity(form)))) block.remove();
  }
  for (const what of whats) {
    const form = doing(what)[0];
    if (!form) aside(what);
    else if (!isBusy(form) && !lines.has(what)) draw(form, of(what).length);
  }
  for (const what of beside) if (!whats.has(what) || doing(what).length > 0) unsay(`photos ${what}`);
}

function aside(what: string): void {
  const photos = of(what);
  const [first] = photos;
  if (!first) return;
  beside.add(what);
  const text = word("order.photos_beside", { time: siteTime(first.at) });
  say(`photos ${what}`, text, `${first.label}: ${photos.length}`, () => photos.forEach((photo) => void drop(photo)));
}

function draw(form: HTMLFormElement, count: number): void {
  const old = form.querySelector<HTMLElement>("[data-unsent]");
  if (old?.dataset["unsent"] === String(count)) return;
  const before = places();
  const what = identity(form);
  const block = own("p", "err");
  block.dataset["unsent"] = String(count);
  const again = button("order.photo_send", () => {
    lines.set(what, of(what).map((photo) => photo.key));
    const photo = of(what)[0];
    if (photo) put(form, photo);
  });
  again.type = "submit";
  const since = performance.now();
  const away = button("order.photo_remove", () => {
    if (performance.now() - since < MOMENT) return;
    of(what).forEach((photo) => void drop(photo));
    offer();
  });
  away.type = "button";
  block.append(word(count === 1 ? "order.photo_unsent" : "order.photos_unsent", { n: count }), " ", again, " ", away);
  if (old) old.replaceWith(block);
  else form.append(block);
  hold(before);
}

function button(name: string, pressed: () => void): HTMLButtonElement {
  const made = document.createElement("button");
  made.className = "btn sm";
  made.textContent = word(name);
  made.addEventListener("click", pressed);
  return made;
}

async function shrunk(photo: File): Promise<File> {
  try {
    const picture = await createImageBitmap(photo, { imageOrientation: "from-image" });
    const scale = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
    if (scale === 1 && photo.size <= LARGE) return photo;
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(picture.width * scale);
    canvas.height = Math.round(picture.height * scale);
    canvas.getContext("2d")?.drawImage(picture, 0, 0, canvas.width, canvas.height);
    picture.close();
    const made = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
    const { lastModified } = photo;
    return made && made.size < photo.size ? new File([made], "photo.jpg", { type: made.type, lastModified }) : photo;
  } catch {
    return photo;
  }
}
