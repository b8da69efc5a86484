// Holds the browser that the other tests stand on: it runs, and it has Chinese letters.

import assert from "node:assert/strict";
import { test } from "node:test";
import { launch, screenshot, skip } from "./browser.mjs";

test("the browser draws two Chinese letters differently", { skip: skip() }, async () => {
  const browser = await launch();
  try {
    const page = await browser.newPage();
    await page.setContent("<p lang=zh>值</p><p lang=zh>班</p>");
    const [first, second] = await page.locator("p").all();
    // Without a font both would be the same empty box.
    assert.notDeepEqual(await first.screenshot(), await second.screenshot());
    await screenshot(page, "letters");
  } finally {
    await browser.close();
  }
});
