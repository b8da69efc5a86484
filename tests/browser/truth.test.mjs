// Whatever has the focus, the page becomes what the server says; only the field that is being written in is spared.

import assert from "node:assert/strict";
import { test } from "node:test";
import { screenshot, skip } from "./browser.mjs";
import { live, SOON, until } from "./demo.mjs";
import { browser, demo } from "./stage.mjs";
import { blank } from "./ways.mjs";

/** Faults that no test here has made yet: one that stands, or has just gone, cannot come again at once. */
const CARS = ["A1", "A2", "A4", "A5", "A6", "A3"];
const faults = ["door-fault", "mains-loss"].flatMap((scenario) => CARS.map((asset) => [scenario, asset]));
faults.push(["pump-overload", "FPU1"], ["pump-overload", "SP2"]);

/** A new alarm, of an asset that the next call may use again for another fault. */
async function alarm() {
  const open = async () => (await demo.api("/alarms?state=open")).items;
  const [scenario, asset] = faults.shift();
  const before = new Set((await open()).map((one) => one.id));
  await demo.scenario(scenario, { asset });
  return until(`${scenario} of ${asset}`, async () => (await open()).find((one) => one.asset === asset && !before.has(one.id)));
}

/** Acknowledges every alarm but one. */
async function acknowledge(but) {
  await until("only this one waits", async () => {
    const waiting = (await demo.api("/alarms?state=unacknowledged")).items.filter((one) => one.id !== but);
    for (const one of waiting) await demo.api(`/alarms/${one.id}/ack`, { method: "POST", body: "{}" });
    return waiting.length === 0;
  });
}

async function page(path, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1366, height: 768 }, ...options });
  const page = await demo.sign_in(context, "en");
  await page.goto(`${demo.said.dashboard}${path}`);
  await live(page);
  return page;
}

/** Whatever the focus is on, before an alarm comes. */
const WAYS = {
  "a click on nothing": blank,
  "the skip link": async (page) => {
    await page.locator(".skip").focus();
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  },
  "a link of the list": (page) => page.locator(".al a, td.what a").first().focus(),
  "the button of the bar": (page) => page.locator("#bar button").focus(),
  "selected text": (page) => page.locator("main h2, main h1").last().selectText(),
};

for (const [path, list, phone, ways] of [
  ["/", "#al-", false, ["a click on nothing", "the skip link", "a link of the list"]],
  ["/alarms", "#row-", false, ["a click on nothing", "the button of the bar"]],
  ["/", "#al-", true, ["a click on nothing", "selected text"]],
]) {
  const where = `${path}${phone ? " on a phone" : ""}`;
  test(`${where}: the lists stay true after each kind of focus`, { skip: skip() }, async () => {
    const first = await alarm();
    const shown = await page(path, phone ? { viewport: { width: 390, height: 844 }, hasTouch: true } : {});
    await shown.locator(`${list}${first.id}`).waitFor({ timeout: SOON });
    for (const way of ways) {
      await WAYS[way](shown);
      const next = await alarm();
      await shown.locator(`${list}${next.id}`).waitFor({ timeout: SOON });
    }
    await shown.context().close();
  });
}

test("a row says how it is now while its own link has the focus", { skip: skip() }, async () => {
  const one = await alarm();
  const shown = await page("/alarms");
  const link = shown.locator(`#row-${one.id} .what a`);
  await link.focus();
  await demo.api(`/alarms/${one.id}/ack`, { method: "POST", body: "{}" });
  await shown.locator(`#row-${one.id}.ak`).waitFor({ timeout: SOON });
  assert.ok(await link.evaluate((shown) => shown === document.activeElement), "the focus stays");
  await shown.context().close();
});

test("a field that is written in is spared, and everything around it is brought up to date", { skip: skip() }, async () => {
  const one = await alarm();
  const shown = await page(`/alarms?sel=${one.id}`);
  const field = shown.locator(`#guide-ack-${one.id} [name=comment]`);
  await field.pressSequentially("the doors of car");
  await field.evaluate((input) => input.setSelectionRange(4, 9));
  const other = await alarm();
  await shown.locator(`#row-${other.id}`).waitFor({ timeout: SOON });
  assert.equal(await field.inputValue(), "the doors of car");
  assert.deepEqual(await field.evaluate((input) => [input.selectionStart, input.selectionEnd, input === document.activeElement]), [4, 9, true]);
  await screenshot(shown, "alarms-writing-en");
  await shown.context().close();
});

test("an unfolded form stays unfolded while the page around it is brought up to date", { skip: skip() }, async () => {
  const shown = await page("/assets/A3");
  const fold = shown.locator("details:has(#report)");
  await fold.locator("summary").click();
  await fold.locator("summary").focus();
  const before = await shown.locator(".alp .al li").count();
  await demo.scenario("entrapment", { asset: "A3" });
  await shown.waitForFunction((n) => document.querySelectorAll(".alp .al li").length > n, before, { timeout: SOON });
  assert.ok(await fold.evaluate((details) => details.open));
  await shown.context().close();
  await acknowledge();
});

test("what is written for one alarm never goes to another that takes its place", { skip: skip() }, async () => {
  const one = await alarm();
  await acknowledge(one.id);
  const shown = await page("/");
  await shown.locator(`#bar-ack-${one.id} [name=comment]`).pressSequentially("a mechanic is on the ");
  await demo.scenario("smoke");
  await shown.locator("#bar.p1", { hasText: "FP1" }).waitFor({ timeout: SOON });
  // Somebody who does not look goes on writing: no letter is a command, and nothing is acknowledged.
  await shown.keyboard.type("way already");
  await shown.keyboard.press("Enter");
  assert.equal(await shown.locator("#bar [name=comment]").inputValue(), "");
  assert.equal(new URL(shown.url()).pathname, "/");
  assert.ok((await demo.api("/alarms?state=unacknowledged")).items.some((other) => other.asset === "FP1"));
  await shown.locator(".notice", { hasText: "a mechanic is on the" }).waitFor({ timeout: SOON });
  await screenshot(shown, "bar-changed-en");
  await shown.context().close();
});

test("a page goes on when the worker that all tabs share has died", { skip: skip() }, async () => {
  const context = await browser.newContext();
  // A worker that starts and then says nothing, as one that was killed.
  await context.addInitScript(() => {
    const Real = window.SharedWorker;
    window.SharedWorker = class {
      constructor(url, name) {
        if (name !== "stream 1") return new Real(url, name);
        this.port = new MessageChannel().port1;
      }
    };
  });
  const shown = await demo.sign_in(context, "en");
  await live(shown);
  await context.close();
});

test("the page of an alarm draws its end when the fault is gone", { skip: skip() }, async () => {
  const trapped = async () =>
    (await demo.api("/alarms?state=open")).items.find((alarm) => alarm.rule === "entrapment" && alarm.signal === "present");
  await demo.scenario("all-clear");
  await until("no entrapment", async () => !(await trapped()));
  await demo.scenario("entrapment", { asset: "A3" });
  const one = await until("the entrapment", trapped);
  const shown = await page(`/alarms/${one.id}`);
  const end = () => shown.locator("#trend").evaluate((trend) => JSON.parse(trend.dataset.marks)[0][1]);
  assert.equal(await end(), null);
  await shown.locator("#trend canvas").waitFor({ timeout: SOON });
  await shown.evaluate(() => {
    window.kept = document.querySelector("#trend canvas");
    document.getElementById("trend").addEventListener("zhiban:retold", () => (window.retold = true));
  });
  await demo.scenario("all-clear");
  await until("the end", async () => (await end()) !== null);
  assert.ok(await shown.evaluate(() => window.retold && window.kept.isConnected), "the curve is drawn again, not made anew");
  const { returned_at } = await demo.api(`/alarms/${one.id}`);
  assert.equal(await end(), Date.parse(returned_at));
  assert.equal(await shown.locator("main time[data-age]:not([data-age=ago])").count(), 0, "no time goes on");
  await shown.context().close();
});
