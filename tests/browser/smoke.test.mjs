// The main job as an engineer sees it, in both languages: sign in, an entrapment, acknowledge,
// the order through every step on a phone, closed. It drives the program as it is shipped.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { setInterval } from "node:timers/promises";
import { launch, screenshot, skip } from "./browser.mjs";

const SOON = 30_000;
let demo;
let said;
let browser;

/** The demo, and what it printed. */
async function start() {
  const program = process.env.ZHIBAN_BIN;
  assert.ok(program, "ZHIBAN_BIN names the built program (tests/run sets it)");
  demo = spawn(program, ["--log", "warn", "demo", "--json", "--listen", "127.0.0.1:0", "--speed", "5"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: demo.stdout })) return JSON.parse(line);
  throw new Error("the demo ended before it said where it is");
}

before(async () => {
  if (skip()) return;
  said = await start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  demo?.kill("SIGTERM");
});

const api = async (path, options = {}) => {
  const answer = await fetch(`${said.dashboard}/api/v1${path}`, {
    ...options,
    headers: { authorization: `Bearer ${said.token}`, "content-type": "application/json" },
  });
  return answer.status === 204 ? null : answer.json();
};
const scenario = async (name, body = {}) => {
  const answer = await fetch(`${said.control}/scenarios/${name}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(answer.status, 202);
};

/** Asks until it holds. */
async function until(what, holds) {
  const end = Date.now() + SOON;
  for await (const _ of setInterval(100)) {
    const found = await holds();
    if (found) return found;
    assert.ok(Date.now() < end, `waited too long for ${what}`);
  }
}

async function sign_in(context, lang) {
  const page = await context.newPage();
  page.on("pageerror", (error) => assert.fail(`the page failed: ${error}`));
  page.on("console", (entry) => {
    // A strict policy that stops something of ours is a fault of ours.
    assert.ok(!/Content Security Policy/i.test(entry.text()), entry.text());
  });
  await page.goto(`${said.dashboard}/?lang=${lang}`);
  await page.fill("[name=username]", said.user);
  await page.fill("[name=password]", said.password);
  await page.click("button.pri");
  await page.waitForSelector("#bar");
  return page;
}

/** A photo as large as a phone's, drawn by the browser. */
async function photo(page) {
  const encoded = await page.evaluate(() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 4000, height: 3000 });
    const pen = canvas.getContext("2d");
    for (let stripe = 0; stripe < 400; stripe++) {
      pen.fillStyle = `hsl(${stripe * 7} 40% ${30 + (stripe % 40)}%)`;
      pen.fillRect(stripe * 10, 0, 10, 3000);
    }
    return canvas.toDataURL("image/jpeg", 0.98).split(",")[1];
  });
  return { name: "../IMG 0001.jpg", mimeType: "image/jpeg", buffer: Buffer.from(encoded, "base64") };
}

/** Writes down a part and adds a photo, as somebody with a phone does. */
async function record(hand, no, lang) {
  const large = await photo(hand);
  await hand.locator("form:has([name=stage][value=after]) input[type=file]").setInputFiles(large);
  const [kept] = await until("the photo", async () => {
    const photos = (await api(`/work-orders/${no}/photos`)).items;
    return photos.length ? photos : null;
  });
  assert.ok(kept.size < large.buffer.length, "it was made small before it was sent");
  const shown = hand.locator(".photos img");
  await shown.scrollIntoViewIfNeeded({ timeout: SOON });
  await until("the photo to be drawn", () => shown.evaluate((img) => img.complete && img.naturalWidth === 1600));
  await hand.locator("details.add summary").click();
  await hand.locator("details.add [name=name]").fill(lang === "en" ? "Door lock contact" : "门锁触点");
  await hand.locator("details.add [name=quantity]").fill("2");
  await hand.locator("details.add button").click();
  await hand.locator(".parts li").waitFor({ timeout: SOON });
  const [part] = (await api(`/work-orders/${no}/parts`)).items;
  assert.equal(part.quantity, 2);
  await screenshot(hand, `order-parts-phone-${lang}`);
}

for (const [lang, asset, words] of [
  ["zh-CN", "A3", { trapped: "困人", closed: "已关闭" }],
  ["en", "A4", { trapped: /trap/i, closed: "Closed" }],
]) {
  test(`an entrapment from alarm bar to closed order, ${lang}`, { skip: skip() }, async () => {
    const desk = await browser.newContext({ viewport: { width: 1920, height: 1080 } });
    const page = await sign_in(desk, lang);
    await until("a calm building", async () => (await api("/assets")).items.every((one) => one.state === "normal"));
    await screenshot(page, `overview-calm-${lang}`);

    await scenario("entrapment", { asset });
    await page.locator("#bar.un", { hasText: asset }).filter({ hasText: words.trapped }).waitFor({ timeout: SOON });
    await screenshot(page, `overview-entrapment-${lang}`);
    await page.goto(`${said.dashboard}/assets/${asset}`);
    await page.locator("#trend canvas, #trend svg").first().waitFor({ timeout: SOON });
    await screenshot(page, `asset-${lang}`);
    await page.goto(`${said.dashboard}/alarms`);
    await screenshot(page, `alarms-${lang}`);

    // Every alarm of the car is acknowledged from the bar, one after the other.
    await until("every alarm to be acknowledged", async () => {
      const button = page.locator("#bar.un form.ack button");
      if (await button.count()) {
        await page.locator("#bar.un form.ack [name=comment]").fill("test");
        await button.click({ timeout: 2000 }).catch(() => {});
      }
      const open = await api("/alarms?state=unacknowledged");
      return open.items.length === 0;
    });
    const order = (await api(`/work-orders?asset=${asset}`)).items.find((one) => one.fault_family === "entrapment");
    assert.ok(order, "the entrapment has its order");

    const phone = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true });
    const hand = await sign_in(phone, lang);
    await hand.goto(`${said.dashboard}/work-orders/${order.no}`);
    await screenshot(hand, `order-phone-${lang}`);
    const wide = await hand.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `the page is ${wide} px wide on a phone of 390`);
    const status = async () => (await api(`/work-orders/${order.no}`)).status;
    for (const next of ["assigned", "accepted", "on_site", "in_progress", "completed"]) {
      if ((await status()) === next) continue;
      const form = hand.locator(`#next:has([name=to][value=${next}])`);
      await form.waitFor({ timeout: SOON });
      if (next === "assigned") await form.locator("select[name=assignee]").selectOption(said.user);
      if (next === "completed") {
        await record(hand, order.no, lang);
        await form.locator("[name=cause]").fill(lang === "en" ? "door lock contact" : "门锁触点接触不良");
        await form.locator("[name=remedy]").fill(lang === "en" ? "contact cleaned" : "清洁并调整触点");
        await screenshot(hand, `order-record-phone-${lang}`);
      }
      await hand.locator(".dock button.pri").click();
      await until(`the order to be ${next}`, async () => (await status()) === next);
    }
    await scenario("all-clear");
    await until("the machine to be normal", async () => (await api(`/work-orders/${order.no}`)).recovered_at);
    await hand.goto(`${said.dashboard}/work-orders/${order.no}`);
    await screenshot(hand, `order-verify-phone-${lang}`);
    await hand.locator(".dock button.pri").click();
    await until("the order to be closed", async () => (await status()) === "closed");
    await hand.goto(`${said.dashboard}/work-orders/${order.no}`);
    assert.match(await hand.locator("main").innerText(), new RegExp(words.closed));
    await screenshot(page, `alarms-after-${lang}`);
    await desk.close();
    await phone.close();
  });
}
