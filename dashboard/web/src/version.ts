// A newer version of the pages is there after an update: a calm page takes it at once, another one says so.
// It must never take away what somebody is writing, nor reload for ever.

import { isWritten } from "./drafts";
import { isSending } from "./photos";

const mine = document.body.dataset["version"];
let theirs = mine;

/** Compares the version that the stream names with the page's own. */
export function compare(version: string): void {
  theirs = version;
  renew();
}

/** Brings the newest version, or says that there is one; to be called again when the page changed. */
export function renew(): void {
  const newer = mine !== undefined && theirs !== mine;
  const notice = document.querySelector<HTMLElement>("[data-newer]");
  if (notice) notice.hidden = !newer;
  if (!newer || !isCalm() || tried() === theirs) return;
  sessionStorage.setItem("reloaded", theirs ?? "");
  location.reload();
}

/** For which version this tab was reloaded already: once is enough, whatever came back. */
function tried(): string | null {
  return sessionStorage.getItem("reloaded");
}

function isCalm(): boolean {
  const writes = document.activeElement?.matches("input,textarea,select") === true;
  return !writes && document.querySelector("#bar.calm") !== null && !isWritten() && !isSending();
}
