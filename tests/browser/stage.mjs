// One demo and one browser for all the tests of a file, from before the first to after the last.
// It must never start either where the tests are skipped.

import { after, before } from "node:test";
import { launch, skip } from "./browser.mjs";
import { Demo } from "./demo.mjs";

/** The running demo; there from the first test on. */
export let demo;
/** The running browser; there from the first test on. */
export let browser;

before(async () => {
  if (skip()) return;
  demo = await Demo.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await demo?.stop();
});
