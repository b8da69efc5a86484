// Debian's Chromium under playwright-core, for the browser tests. It must never fetch a browser,
// nor let one talk to anything but loopback.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** Where screenshots are kept after a run. */
export const artifacts = fileURLToPath(new URL("../artifacts/", import.meta.url));

/** The reason to skip a test, or false; in CI nothing is skipped. */
export function skip() {
  if (process.env.ZHIBAN_CHROMIUM) return false;
  if (process.env.CI === "true") throw new Error("no chromium, and in CI no test is skipped");
  return "no chromium (tests/run installs it)";
}

/** A headless Chromium; the caller closes it. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.ZHIBAN_CHROMIUM,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** Keeps what a page shows as tests/artifacts/NAME.png. */
export async function screenshot(page, name) {
  mkdirSync(artifacts, { recursive: true });
  await page.screenshot({ path: join(artifacts, `${name}.png`), fullPage: true });
}
