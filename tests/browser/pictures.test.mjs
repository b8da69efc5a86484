// The pictures when a device falls silent, and every page on a narrow phone. What says nothing about now
// must never look as if it did, and no page may be wider than the phone.

import assert from "node:assert/strict";
import { test } from "node:test";
import { screenshot, skip } from "./browser.mjs";
import { live, SOON, until } from "./demo.mjs";
import { browser, demo } from "./stage.mjs";

for (const [lang, theme] of [
  ["en", "light"],
  ["zh-CN", "dark"],
]) {
  test(`what falls silent is drawn as something of which nothing is known, ${lang}`, { skip: skip() }, async () => {
    await demo.scenario("all-clear");
    await until("every unit to answer", async () => (await demo.api("/assets")).items.every((one) => one.state !== "stale"));
    const desk = await browser.newContext({ viewport: { width: 1920, height: 1080 } });
    const page = await demo.sign_in(desk, lang);
    await page.goto(`${demo.said.dashboard}/?theme=${theme}`);
    await live(page);
    const lift = page.locator("#lift-A6");
    const pump = page.locator('.pump[data-c^="FPU1/"]').first();
    const fact = page.locator('.pfacts div[data-c="FPU1/selector_auto"]');
    const row = page.locator('.panel tr[data-c="FP1/fire"]');
    for (const one of [lift, pump, fact, row]) assert.equal(await one.locator(".old").isVisible(), false);
    for (const asset of ["A6", "FP1", "FPU1"]) await demo.scenario("unit-silent", { asset });
    for (const one of [lift, pump, fact, row]) await one.locator(".old time", { hasText: /\d/ }).waitFor({ timeout: SOON });

    assert.equal(await lift.getAttribute("data-state-q"), "3");
    assert.equal(await lift.locator("[data-lift-state]").innerText(), (await lift.getAttribute("data-alarm")) ?? "");
    for (const part of ["car_moving", "door_state", "direction"])
      assert.equal(await lift.locator(`[data-c="A6/${part}"]`).getAttribute("data-q"), "3", part);
    for (const shape of [".up", ".down", ".gap"]) assert.equal(await lift.locator(shape).isVisible(), false, shape);
    const dashes = (shape) => shape.evaluate((one) => getComputedStyle(one).strokeDasharray);
    assert.notEqual(await dashes(lift.locator(".car")), "none");
    assert.notEqual(await dashes(pump.locator(".c")), "none");
    for (const word of [".run", ".stop"]) assert.equal(await pump.locator(word).isVisible(), false, word);
    for (const one of [fact, row]) {
      assert.equal(await one.locator(".v").first().isVisible(), false, "its word is not known now");
      assert.match(await one.evaluate((shown) => getComputedStyle(shown).backgroundImage), /gradient/);
    }
    await screenshot(page, `overview-silent-${lang}`);
    await page.goto(`${demo.said.dashboard}/assets/A6`);
    await page.locator("#shaft-A6 .old").waitFor();
    await screenshot(page, `asset-silent-${lang}`);
    await desk.close();
  });
}

/** A report, a comment and an acknowledgement of one word of 400 letters, and one that turns the direction of writing. */
async function longWords() {
  const word = "X".repeat(400);
  const turned = "\u202Edeppots si rac eht\u202C";
  const body = (fields) => ({ method: "POST", body: JSON.stringify(fields) });
  const { no } = await demo.api("/work-orders", body({ asset: "A5", title: word.slice(0, 200), note: word, priority: 2 }));
  for (const comment of [word, turned]) await demo.api(`/work-orders/${no}/comments`, body({ comment }));
  const alarm = await demo.alarm("A3");
  await demo.api(`/alarms/${alarm.id}/comment`, body({ comment: word }));
  return { no, id: alarm.id };
}

for (const [lang, width, height] of [
  ["zh-CN", 390, 844],
  ["en", 390, 844],
  ["zh-CN", 320, 640],
  ["en", 320, 640],
]) {
  test(`no page is wider than a phone of ${width}, however long the words, ${lang}`, { skip: skip() }, async () => {
    const phone = await browser.newContext({ viewport: { width, height }, hasTouch: true });
    const page = await demo.sign_in(phone, lang);
    await demo.scenario("entrapment", { asset: "A3" });
    const { no, id } = await longWords();
    const paths = ["/", "/alarms", `/alarms/${id}`, "/assets", "/assets/A3", "/assets/A5", "/assets/FP1", "/assets/BW1", "/work-orders", `/work-orders/${no}`];
    for (const path of paths) {
      await page.goto(`${demo.said.dashboard}${path}`);
      await live(page);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      const name = path === "/" ? "overview" : path.slice(1).replaceAll("/", "-").replace(no, "NO");
      await screenshot(page, `phone-${width}-${name}-${lang}`);
      assert.ok(wide <= width, `${path} is ${wide} px wide`);
      // Whatever way a text runs, it moves nothing beside its element.
      const open = await page.evaluate(() => {
        const all = [...document.body.querySelectorAll("a, b, bdi, dd, dt, small, span, td, th")];
        return all.filter((one) => getComputedStyle(one).unicodeBidi === "normal").map((one) => one.outerHTML.slice(0, 200));
      });
      assert.deepEqual(open, [], path);
    }
    const history = await page.locator(".tl:not(.told)").innerText();
    assert.match(history, /\[U\+202E\]deppots si rac eht\[U\+202C\]/);
    await page.goto(`${demo.said.dashboard}/?theme=dark`);
    await screenshot(page, `phone-overview-dark-${lang}`);
    await phone.close();
  });
}

for (const lang of ["zh-CN", "en"]) {
  test(`with alarms the overview is one screen, and its elevators one row, ${lang}`, { skip: skip() }, async () => {
    for (const [scenario, asset] of [["entrapment", "A3"], ["door-fault", "A1"], ["mains-loss", "A2"], ["smoke"], ["pump-overload"], ["sump-high"]])
      await demo.scenario(scenario, asset ? { asset } : {});
    await until("more alarms than the list has room for", async () => (await demo.api("/alarms?state=open")).items.length >= 8);
    await longWords();
    for (const [width, height] of [[1920, 1080], [1366, 768]]) {
      const desk = await browser.newContext({ viewport: { width, height } });
      const page = await demo.sign_in(desk, lang);
      await live(page);
      await page.locator("#bar.un").waitFor({ timeout: SOON });
      const [wide, high, rows] = await page.evaluate(() => [
        document.documentElement.scrollWidth,
        document.documentElement.scrollHeight,
        new Set([...document.querySelectorAll(".lift")].map((lift) => lift.getBoundingClientRect().top)).size,
      ]);
      await screenshot(page, `overview-alarms-${width}-${lang}`);
      assert.equal(wide, width);
      assert.equal(rows, 1, "the elevators stand in one row");
      if (height === 1080) assert.ok(high <= height, `the overview is ${high} px high`);
      await desk.close();
    }
    await demo.scenario("all-clear");
  });
}
