// The main job as an engineer sees it, in both languages: sign in, an entrapment, acknowledge,
// the order through every step on a phone, closed. It drives the program as it is shipped.

import assert from "node:assert/strict";
import { test } from "node:test";
import { screenshot, skip } from "./browser.mjs";
import { SOON, until } from "./demo.mjs";
import { browser, demo } from "./stage.mjs";
import { blank, slow, twice } from "./ways.mjs";

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

/** A photo that is on its way for long, and then gets no answer. */
async function badLine(hand, form, no, large) {
  let cut;
  const held = new Promise((done) => (cut = done));
  await hand.route("**/photos", (route) => held.then(() => route.abort()));
  await form.locator("input[type=file]").setInputFiles(large);
  await hand.locator("form[data-busy]").waitFor({ timeout: SOON });
  const note = `seen while sending ${Date.now()}`;
  await demo.api(`/work-orders/${no}/comments`, { method: "POST", body: JSON.stringify({ comment: note }) });
  await hand.getByText(note).first().waitFor({ timeout: SOON });
  assert.equal(await hand.locator(".shoot form[data-busy]").count(), 1, "the page is new, the form on its way is not");
  cut();
  await form.locator("[data-unsent]").waitFor({ timeout: SOON });
  assert.equal(await hand.locator("form[data-busy]").count(), 0);
  await hand.unroute("**/photos");
}

/** Writes down a part and adds a photo, as somebody with a phone does. */
async function record(hand, no, lang) {
  const large = await photo(hand);
  const form = hand.locator("form:has([name=stage][value=after])");
  await badLine(hand, form, no, large);
  await form.locator("[data-unsent] [type=submit]").click();
  const [kept] = await until("the photo", async () => {
    const photos = (await demo.api(`/work-orders/${no}/photos`)).items;
    return photos.length ? photos : null;
  });
  assert.ok(kept.size < large.buffer.length, "it was made small before it was sent");
  const shown = hand.locator(".photos img");
  await shown.scrollIntoViewIfNeeded({ timeout: SOON });
  await until("the photo to be drawn", () => shown.evaluate((img) => img.complete && img.naturalWidth === 1600));
  await hand.locator("details.add summary").click();
  await hand.locator("details.add [name=name]").fill(lang === "en" ? "Door lock contact" : "门锁触点");
  await hand.locator("details.add [name=quantity]").fill("2");
  await twice(hand.locator("details.add button"));
  await hand.locator(".parts li").waitFor({ timeout: SOON });
  const [part] = (await demo.api(`/work-orders/${no}/parts`)).items;
  assert.equal(part.quantity, 2);
  await screenshot(hand, `order-parts-phone-${lang}`);
}

for (const [lang, asset, words] of [
  ["zh-CN", "A3", { trapped: "困人", closed: "已关闭" }],
  ["en", "A4", { trapped: /trap/i, closed: "Closed" }],
]) {
  test(`an entrapment from alarm bar to closed order, ${lang}`, { skip: skip() }, async () => {
    const desk = await browser.newContext({ viewport: { width: 1920, height: 1080 } });
    const page = await demo.sign_in(desk, lang);
    await demo.calm();
    await screenshot(page, `overview-calm-${lang}`);
    await blank(page);

    await demo.scenario("entrapment", { asset });
    await page.locator("#bar.un", { hasText: asset }).filter({ hasText: words.trapped }).waitFor({ timeout: SOON });
    await screenshot(page, `overview-entrapment-${lang}`);
    await page.goto(`${demo.said.dashboard}/assets/${asset}`);
    await page.locator("#trend canvas, #trend svg").first().waitFor({ timeout: SOON });
    await screenshot(page, `asset-${lang}`);
    await page.goto(`${demo.said.dashboard}/alarms`);
    await screenshot(page, `alarms-${lang}`);

    // Every alarm of the car is acknowledged from the bar, one after the other.
    await until("every alarm to be acknowledged", async () => {
      const button = page.locator("#bar.un form.ack button");
      if (await button.count()) {
        // The bar may come to show another alarm between the two: then it is the next turn's.
        const comment = page.locator("#bar.un form.ack [name=comment]");
        await comment.fill("test", { timeout: 2000 }).catch(() => {});
        await button.click({ timeout: 2000 }).catch(() => {});
      }
      const open = await demo.api("/alarms?state=unacknowledged");
      return open.items.length === 0;
    });
    const order = (await demo.api(`/work-orders?asset=${asset}`)).items.find((one) => one.fault_family === "entrapment");
    assert.ok(order, "the entrapment has its order");

    const phone = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true });
    const hand = await demo.sign_in(phone, lang);
    await slow(hand, { latency: 150, kilobytes: 200 });
    await hand.goto(`${demo.said.dashboard}/work-orders/${order.no}`);
    await screenshot(hand, `order-phone-${lang}`);
    const wide = await hand.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `the page is ${wide} px wide on a phone of 390`);
    const status = async () => (await demo.api(`/work-orders/${order.no}`)).status;
    for (const next of ["assigned", "accepted", "on_site", "in_progress", "completed"]) {
      if ((await status()) === next) continue;
      const form = hand.locator(`#step-${next}`);
      await form.waitFor({ timeout: SOON });
      if (next === "assigned") await form.locator("select[name=assignee]").selectOption(demo.said.user);
      if (next === "completed") {
        await record(hand, order.no, lang);
        await form.locator("[name=cause]").fill(lang === "en" ? "door lock contact" : "门锁触点接触不良");
        await form.locator("[name=remedy]").fill(lang === "en" ? "contact cleaned" : "清洁并调整触点");
        await screenshot(hand, `order-record-phone-${lang}`);
      }
      await twice(hand.locator(".dock button.pri"));
      await until(`the order to be ${next}`, async () => (await status()) === next);
    }
    await demo.scenario("all-clear");
    await until("the machine to be normal", async () => (await demo.api(`/work-orders/${order.no}`)).recovered_at);
    await hand.goto(`${demo.said.dashboard}/work-orders/${order.no}`);
    await screenshot(hand, `order-verify-phone-${lang}`);
    // Who did the repair is offered no way to verify it; the other person is.
    assert.equal(await hand.locator(".dock button.pri").count(), 0);
    const other = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true });
    const verifier = await demo.sign_in(other, lang, demo.said.dashboard, demo.second());
    await verifier.goto(`${demo.said.dashboard}/work-orders/${order.no}`);
    await twice(verifier.locator(".dock button.pri"));
    await until("the order to be closed", async () => (await status()) === "closed");
    await hand.goto(`${demo.said.dashboard}/work-orders/${order.no}`);
    assert.match(await hand.locator("main").innerText(), new RegExp(words.closed));
    await screenshot(page, `alarms-after-${lang}`);
    await desk.close();
    await phone.close();
    await other.close();
  });
}
