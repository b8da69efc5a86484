// Makes photos small before they are sent: a phone's picture is ten times what a repair record needs,
// and the line in a plant room is bad. What cannot be drawn here is sent as it is.

import { identity } from "./forms";
import { say } from "./notices";
import { busy } from "./press";
import { word } from "./words";

const LONGEST_SIDE = 1600;
const LARGE = 400 * 1024;
const QUALITY = 0.82;

/** Sends a form as soon as photos were chosen in it. */
export function listenForPhotos(): void {
  document.addEventListener("change", (event) => {
    const input = event.target;
    if (!(input instanceof HTMLInputElement) || !("photos" in input.dataset)) return;
    void send(input);
  });
}

async function send(input: HTMLInputElement): Promise<void> {
  const chosen = [...(input.files ?? [])];
  const { form } = input;
  if (chosen.length === 0 || !form) return;
  busy(form, true);
  const small = new DataTransfer();
  for (const photo of chosen) small.items.add(await shrunk(photo));
  busy(form, false);
  input.files = small.files;
  // Meanwhile the order may have ended, and its page has no such form any more.
  if (form.isConnected) form.requestSubmit();
  else say(identity(form), word("form.gone"));
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
    return made && made.size < photo.size ? new File([made], "photo.jpg", { type: made.type }) : photo;
  } catch {
    return photo;
  }
}
