// Forms in a browser that runs no scripts: every one refused once, and its text is there again.

import assert from "node:assert/strict";
import { test } from "node:test";
import { screenshot, skip } from "./browser.mjs";
import { SOON } from "./demo.mjs";
import { browser, demo } from "./stage.mjs";

/** What was written: longer than any field takes, so that each form is refused. */
const LONG = "the lock contact is worn <&> ".repeat(1500);

async function signIn(page, who = demo.said) {
  await page.goto(`${demo.said.dashboard}/?lang=en`);
  await page.fill("[name=username]", who.user);
  await page.fill("[name=password]", who.password);
  await page.click("button.pri");
  await page.locator("#bar").waitFor({ timeout: SOON });
}

/** Unfolds whatever a form stands in. */
const unfold = (form) => form.evaluate((one) => {
  for (let fold = one.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
});

test("without scripts every refused form is there again with its text", { skip: skip() }, async () => {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, javaScriptEnabled: false });
  const page = await context.newPage();
  await signIn(page);
  assert.equal(await page.locator(".st.link").isVisible(), false, "nothing connects here, and nothing says so");
  assert.match(await page.locator("noscript .lost").innerText(), /as of \d\d:\d\d:\d\d/, "of when it is");
  await demo.scenario("entrapment", { asset: "A3" });
  const alarm = await demo.alarm("A3");
  const body = JSON.stringify({ asset: "A5", title: "door noise", priority: 3 });
  const { no } = await demo.api("/work-orders", { method: "POST", body });
  const forms = [
    [`/alarms/${alarm.id}`, `#ack-${alarm.id}`, "comment"],
    [`/alarms/${alarm.id}`, `#comment-${alarm.id}`, "comment"],
    ["/assets/A5", "#report", "title"],
    [`/work-orders/${no}`, "#comment", "comment"],
    [`/work-orders/${no}`, "#step-rejected", "reason"],
    [`/work-orders/${no}`, "#part-add", "name"],
  ];
  for (const [path, form, name] of forms) {
    await page.goto(`${demo.said.dashboard}${path}`);
    const there = page.locator(form);
    await unfold(there);
    await there.locator(`[name=${name}]`).fill(LONG);
    await there.locator("button").click();
    await page.locator(".notice", { hasText: "Not saved." }).waitFor({ timeout: SOON });
    for (const line of await page.locator(".notice p").all()) {
      assert.ok((await line.boundingBox()).width > 250, "a refusal is read in lines, not in letters");
    }
    const field = page.locator(`${form} [name=${name}]`);
    assert.equal((await field.inputValue()).trim(), LONG.trim(), `${path} ${form}`);
    assert.ok(await field.isVisible(), `${form} is unfolded`);
    assert.equal(await field.getAttribute("aria-invalid"), "true", form);
    await screenshot(page, `refused-without-script-${form.slice(1).replace(/-\d+$/, "")}`);
  }
  // The bar may show a more urgent alarm by then: the text is in its form, or beside the page.
  await page.goto(`${demo.said.dashboard}/`);
  await page.locator("#bar [name=comment]").fill(LONG);
  await page.locator("#bar button").click();
  await page.locator(".notice", { hasText: "Not saved." }).waitFor({ timeout: SOON });
  const bar = await page.locator("#bar [name=comment]").inputValue();
  const beside = (await page.locator(".notice blockquote").allInnerTexts()).join();
  assert.ok(`${bar} ${beside}`.includes(LONG.trim().slice(0, 40_000)), "what was written in the bar");
  await context.close();
  await demo.scenario("all-clear");
});

test("without scripts the second tap of a double one takes no step", { skip: skip() }, async () => {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, javaScriptEnabled: false });
  const page = await context.newPage();
  await signIn(page);
  const send = (path, body) => demo.api(path, { method: "POST", body: JSON.stringify(body) });
  const { no } = await send("/work-orders", { asset: "A5", title: "double tap", priority: 3 });
  await send(`/work-orders/${no}/transitions`, { to: "approved" });
  await send(`/work-orders/${no}/transitions`, { to: "assigned", assignee: demo.said.user });
  await page.goto(`${demo.said.dashboard}/work-orders/${no}`);
  const { x, y, width, height } = await page.locator(".dock button").first().boundingBox();
  // The step of the test's own is not the first tap.
  const assigned = Date.parse((await demo.api(`/work-orders/${no}`)).events.at(-1).at);
  while (Date.now() - assigned < 500) await demo.api(`/work-orders/${no}`);
  const isSent = (request) => request.method() === "POST";
  await page.mouse.click(x + width / 2, y + height / 2);
  await page.locator("#step-on_site").waitFor({ state: "attached", timeout: SOON });
  // The next page's button lies under the finger as soon as it is there.
  const second = page.waitForRequest(isSent, { timeout: SOON });
  await page.mouse.click(x + width / 2, y + height / 2);
  await (await second).response();
  const order = await demo.api(`/work-orders/${no}`);
  const moves = order.events.filter((event) => event.change === "moved");
  const [last, before] = [moves.at(-1), moves.at(-2)];
  // On a machine so slow that the second came late it is a press of its own.
  const apart = Date.parse(last.at) - Date.parse(before.at);
  assert.ok(order.status === "accepted" || apart >= 450, `${order.status} ${apart} ms after the press`);
  await context.close();
});

test("without scripts a form waits while its writer signs in again", { skip: skip() }, async () => {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, javaScriptEnabled: false });
  const page = await context.newPage();
  await signIn(page);
  const body = JSON.stringify({ asset: "A5", title: "door noise", priority: 3 });
  const { no } = await demo.api("/work-orders", { method: "POST", body });
  await page.goto(`${demo.said.dashboard}/work-orders/${no}`);
  const text = page.locator("#comment [name=comment]");
  await text.fill("written before the end");
  const kept = (await context.cookies()).filter((one) => !one.name.includes("session"));
  await context.clearCookies();
  await context.addCookies(kept);
  await page.locator("#comment button").click();
  await page.locator("[name=password]").fill(demo.said.password);
  await page.locator("[name=username]").fill(demo.said.user);
  await screenshot(page, "sign-in-with-a-form");
  await page.locator("button.pri").click();
  await page.locator(".notice", { hasText: "look it over and send it" }).waitFor({ timeout: SOON });
  assert.equal(await text.inputValue(), "written before the end");
  await page.locator("#comment button").click();
  await page.locator(".tl", { hasText: "written before the end" }).waitFor({ timeout: SOON });
  const written = (await demo.api(`/work-orders/${no}/comments`)).items.map((one) => one.comment);
  assert.deepEqual(written, ["written before the end"]);
  await context.close();
});
