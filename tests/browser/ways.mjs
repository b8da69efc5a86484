// The ways people use a page that nobody planned for: they press twice, click on nothing, have a slow line,
// and somebody else does the same at the same time. Tests use these in place of a clean single press.

import assert from "node:assert/strict";
import { once } from "node:events";

/** The times between two taps of one person, in milliseconds. */
export const GAPS = [120, 200, 300, 400];

/** Where the middle of something is on the screen. */
async function middle(what) {
  await what.scrollIntoViewIfNeeded();
  const box = await what.boundingBox();
  assert.ok(box, "it is not on the screen");
  return [box.x + box.width / 2, box.y + box.height / 2];
}

/** Presses twice at the same place, whatever is there the second time. The time between the two is the gesture itself. */
export async function twice(what, gap = 200) {
  await what.click({ trial: true });
  const page = what.page();
  const [x, y] = await middle(what);
  await page.mouse.click(x, y);
  await once(AbortSignal.timeout(gap), "abort");
  await page.mouse.click(x, y);
}

/** Clicks where nothing is: the page's own ground gets the focus. */
export async function blank(page) {
  const main = page.locator("main");
  await main.evaluate((ground) => ground.scrollIntoView());
  const box = await main.boundingBox();
  await page.mouse.click(box.x + 3, box.y + 3);
}

/** Makes the line slow, as it is in a plant room; gives back how to end it. */
export async function slow(page, { latency = 400, kilobytes = 40 } = {}) {
  const devtools = await page.context().newCDPSession(page);
  const rate = kilobytes * 1024;
  const line = { offline: false, latency, downloadThroughput: rate, uploadThroughput: rate };
  await devtools.send("Network.emulateNetworkConditions", line);
  return () => devtools.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
}

/** Cuts a page off, or joins it again. */
export const offline = (page, cut) => page.context().setOffline(cut);
