// What is said of alarms: the fault now, the alarm's state, its time and its place, and which comes first.
// A fault that is over must never look like one that is there, and a phone must show every count.

import assert from "node:assert/strict";
import { test } from "node:test";
import { screenshot, skip } from "./browser.mjs";
import { live, SOON, until } from "./demo.mjs";
import { browser, demo } from "./stage.mjs";

const WORDS = {
  "zh-CN": { present: "信号仍在", gone: "信号已消失", waits: "未确认", car: /轿厢在 (\d+F|B\d)/ },
  en: { present: "still present", gone: "cleared", waits: "Unacknowledged", car: /car at (\d+F|B\d)/ },
};
const SIZES = [
  [1920, 1080],
  [1366, 768],
  [390, 844],
  [320, 700],
];

/** Everything is well and everything was seen. */
async function quiet() {
  await demo.scenario("all-clear");
  await demo.calm();
  await until("every alarm to be acknowledged", async () => {
    const { items } = await demo.api("/alarms?state=open");
    for (const one of items.filter((one) => one.state.endsWith("unacknowledged")))
      await demo.api(`/alarms/${one.id}/ack`, { method: "POST", body: "{}" });
    return items.length === 0;
  });
}

/** The places of faults in a list that are not to be read in full; there must be some. */
async function cut(page, list) {
  const spots = page.locator(`${list} .spot`);
  await spots.first().waitFor({ timeout: SOON });
  return spots.evaluateAll((all) =>
    all
      .filter((spot) => {
        const whole = document.createRange();
        whole.selectNodeContents(spot);
        const text = whole.getBoundingClientRect();
        for (let around = spot; around && !around.matches("section"); around = around.parentElement) {
          const box = around.getBoundingClientRect();
          const hides = getComputedStyle(around).overflowX !== "visible" && getComputedStyle(around).display !== "inline";
          if (hides && (text.right > box.right + 1 || text.left < box.left - 1)) return true;
          if (getComputedStyle(around).webkitLineClamp !== "none" && text.bottom > box.bottom + 1) return true;
        }
        return false;
      })
      .map((spot) => spot.textContent),
  );
}

for (const lang of ["zh-CN", "en"]) {
  const words = WORDS[lang];
  test(`a fault that is over is no fact of now, ${lang}`, { skip: skip() }, async () => {
    await quiet();
    const context = await browser.newContext({ viewport: { width: 1920, height: 1080 } });
    const page = await demo.sign_in(context, lang);
    await live(page);
    await demo.scenario("entrapment", { asset: "A3" });
    await page.locator("#lift-A3.ab.p1").waitFor({ timeout: SOON });
    const bar = page.locator("#bar");
    await bar.locator('[data-signal="present"]').waitFor({ timeout: SOON });
    assert.match(await bar.innerText(), new RegExp(words.present));
    await screenshot(page, `alarm-present-${lang}`);

    await demo.scenario("all-clear");
    await bar.locator('[data-signal="gone"]').waitFor({ timeout: SOON });
    await page.locator("#lift-A3:not(.ab)").waitFor({ timeout: SOON });
    assert.equal(await page.locator("#lift-A3").getAttribute("data-alarm"), "");
    const said = await bar.innerText();
    for (const word of [words.gone, words.waits]) assert.ok(said.includes(word), `${word}: ${said}`);
    assert.equal(await bar.locator("time[data-age]").count(), 0, "its time stands still");
    assert.match(await bar.getAttribute("class"), /past/);
    for (const [width, height] of SIZES) {
      await page.setViewportSize({ width, height });
      await screenshot(page, `alarm-over-${width}-${lang}`);
    }
    await page.setViewportSize({ width: 1366, height: 768 });
    await page.goto(`${demo.said.dashboard}/assets/A3`);
    await page.locator(".hs.past").waitFor();
    await screenshot(page, `asset-over-${lang}`);
    await context.close();
  });

  test(`people and fire stand above water, with their places, ${lang}`, { skip: skip() }, async () => {
    await quiet();
    const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true });
    const page = await demo.sign_in(context, lang);
    await live(page);
    await demo.scenario("entrapment", { asset: "A3" });
    await until("people trapped in A3", async () => (await demo.api("/alarms?state=open")).items.some((one) => one.asset === "A3" && one.rule === "entrapment" && one.place));
    await demo.scenario("smoke");
    await until("a fire", async () => (await demo.api("/alarms?state=open")).items.some((one) => one.asset === "FP1" && one.priority === 1 && one.place));
    await demo.scenario("sump-high", { asset: "SP1" });
    await until("a flood", async () => (await demo.api("/alarms?state=open")).items.some((one) => one.asset === "SP1" && one.priority === 1));
    const { items } = await demo.api("/alarms?state=open");
    const urgent = items.filter((one) => one.priority === 1 && one.state === "unacknowledged").map((one) => one.danger);
    assert.deepEqual(urgent, [...urgent].sort((a, b) => rank(a) - rank(b)), "people and fire first");
    assert.equal(items[0].asset, "A3", "the oldest of them");
    const fire = items.find((one) => one.asset === "FP1");
    assert.match(fire.place.text, /FLOOR|L\d|[A-Z]{3}/, "the detector's own text");

    const bar = page.locator("#bar");
    await bar.locator(".spot", { hasText: words.car }).waitFor({ timeout: SOON });
    assert.match(await bar.innerText(), /A3/);
    const order = await until("the order of A3", async () =>
      (await demo.api("/work-orders")).items.find((one) => one.asset === "A3" && one.place),
    );
    for (const [width, height] of SIZES) {
      await page.setViewportSize({ width, height });
      await page.goto(`${demo.said.dashboard}/?lang=${lang}`);
      await live(page);
      const counts = page.locator("#bar .cnt li");
      assert.equal(await counts.count(), 4);
      for (const one of await counts.all()) assert.ok(await one.isVisible(), `every count at ${width} px`);
      const box = await page.locator("#bar .cnt").boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= width, `the counts fit in ${width} px`);
      await screenshot(page, `alarms-first-${width}-${lang}`);
      for (const list of ["#bar", ".al", ".wo"]) assert.deepEqual(await cut(page, list), [], `places in ${list} at ${width} px`);
    }
    await page.setViewportSize({ width: 390, height: 844 });
    await page.goto(`${demo.said.dashboard}/work-orders/${order.no}?lang=${lang}`);
    assert.match(await page.locator("h1").innerText(), words.car);
    await screenshot(page, `order-place-${lang}`);
    await quiet();
    await context.close();
  });
}

function rank(danger) {
  return { people: 0, fire: 0, gas: 0, water: 1, power: 1 }[danger] ?? 2;
}
