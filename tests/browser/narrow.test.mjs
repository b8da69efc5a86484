// Lists of alarms where there is little room: on phones and in the columns of a small desk.
// Every word of a row must be readable, and nothing left out without a word.

import assert from "node:assert/strict";
import { test } from "node:test";
import { screenshot, skip } from "./browser.mjs";
import { live, SOON, until } from "./demo.mjs";
import { browser, demo } from "./stage.mjs";

const open = async () => (await demo.api("/alarms?state=open")).items;

/** People trapped for over a minute, an alarm that is over and waits, and more alarms than the overview lists. */
async function trouble() {
  await demo.scenario("smoke");
  await until("a fire", async () => (await open()).some((one) => one.asset === "FP1" && one.priority === 1));
  for (const [scenario, asset] of [["entrapment", "A3"], ["entrapment", "A1"], ["sump-high"], ["pump-overload"]])
    await demo.scenario(scenario, asset ? { asset } : {});
  await until("more alarms than the list has room for", async () => (await open()).length > 9);
  await until("an alarm of over a minute", async () =>
    (await open()).some((one) => one.asset === "A3" && one.state === "unacknowledged" && Date.now() - Date.parse(one.raised_at) > 60_000),
  );
}

/** What is wrong with the rows of alarms that a page shows. */
const rows = (page) =>
  page.locator(".al a").evaluateAll((links) => {
    const boxes = (node) => {
      const range = document.createRange();
      range.selectNodeContents(node);
      return [...range.getClientRects()].filter((box) => box.width > 0);
    };
    const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
    const found = [];
    for (const link of links) {
      const parts = [...link.querySelectorAll(":is(b, .ac, .spot, .d, .tm)")].map((part) => [part, boxes(part)]);
      for (const [n, [part, mine]] of parts.entries())
        for (const [other, theirs] of parts.slice(n + 1))
          if (mine.some((a) => theirs.some((b) => over(a, b)))) found.push(`"${part.textContent}" lies on "${other.textContent}"`);
    }
    return found;
  });

/** Words of titles that are broken within, and places that are cut. */
const broken = (page) =>
  page.locator(".al a").evaluateAll((links) => {
    const found = [];
    for (const link of links) {
      const title = link.querySelector("b").firstChild;
      for (const { index, 0: text } of title.textContent.matchAll(/\S+/g)) {
        const range = document.createRange();
        range.setStart(title, index);
        range.setEnd(title, index + text.length);
        if (new Set([...range.getClientRects()].map((box) => box.top)).size > 1) found.push(`"${text}" is broken`);
      }
      const place = link.querySelector(".spot");
      if (place && place.scrollWidth > place.clientWidth) found.push(`"${place.textContent}" is cut`);
    }
    return found;
  });

for (const lang of ["zh-CN", "en"])
  test(`rows of alarms can be read where there is little room, ${lang}`, { skip: skip() }, async () => {
    await trouble();
    const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true });
    const page = await demo.sign_in(context, lang);
    for (const path of ["/", "/assets/A3", "/assets/FP1"]) {
      await page.goto(`${demo.said.dashboard}${path}`);
      await live(page);
      for (const width of [320, 340, 360, 375, 390, 412]) {
        await page.setViewportSize({ width, height: 844 });
        assert.deepEqual(await rows(page), [], `${path} at ${width} px`);
        if (path !== "/assets/A3") continue;
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${path} at ${width} px is ${wide} px wide`);
      }
      await page.setViewportSize({ width: 320, height: 844 });
      await screenshot(page, `narrow${path.replaceAll("/", "-")}-${lang}`);
    }
    await page.setViewportSize({ width: 1366, height: 768 });
    await page.goto(`${demo.said.dashboard}/assets/A3`);
    await live(page);
    await screenshot(page, `narrow-column-${lang}`);
    if (lang === "en") assert.deepEqual(await broken(page), []);
    assert.deepEqual(await rows(page), []);
    await context.close();
  });

for (const lang of ["zh-CN", "en"])
  test(`what the overview has no room for is counted, ${lang}`, { skip: skip() }, async () => {
    await trouble();
    const context = await browser.newContext({ viewport: { width: 1366, height: 768 } });
    const page = await demo.sign_in(context, lang);
    await live(page);
    await until("all of them to be listed or counted", async () => {
      const all = (await open()).filter((one) => one.state !== "shelved").length;
      const listed = await page.locator(".alp .al li").count();
      const said = await page.locator('.alp a[href="/alarms"]').allInnerTexts();
      const more = all - listed;
      return more > 0 ? said.includes(lang === "en" ? `${more} more` : `还有 ${more} 条`) : said.length === 1 && listed === all;
    }, SOON / 4);
    await screenshot(page, `overview-more-${lang}`);
    // What is listed is seen without scrolling in the list, on the wall too.
    for (const [width, height] of [[1366, 768], [1920, 1080]]) {
      await page.setViewportSize({ width, height });
      const list = page.locator(".alp .al");
      const [whole, seen] = await list.evaluate((one) => [one.scrollHeight, one.clientHeight]);
      assert.ok(whole <= seen + 1, `at ${width} px ${seen} of ${whole} px are seen`);
    }
    await screenshot(page, `overview-wall-${lang}`);
    await context.close();
  });
