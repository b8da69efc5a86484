// Orders at every width: which time limit is meant, that it stands on hold, that an order is open again.
// A narrow phone may say it in few words, and must say it all the same.

import assert from "node:assert/strict";
import { test } from "node:test";
import { screenshot, skip } from "./browser.mjs";
import { live, until } from "./demo.mjs";
import { browser, demo } from "./stage.mjs";

/** Orders of four assets: assigned, on hold, completed, and open again. */
async function orders() {
  const body = (fields) => ({ method: "POST", body: JSON.stringify(fields) });
  const made = async (asset, ...steps) => {
    const title = "The landing door of the ground floor grinds on its sill";
    const { no } = await demo.api("/work-orders", body({ asset, title, priority: 2 }));
    for (const step of steps) {
      const said = await demo.api(`/work-orders/${no}/transitions`, body(step));
      assert.ok(said?.no, JSON.stringify(said));
    }
    return no;
  };
  const raised = async (scenario, asset, ...steps) => {
    await demo.scenario(scenario, asset ? { asset } : {});
    const of = (one) => (asset ? one.asset === asset : one.asset === "FP1");
    const order = await until(`an order of ${asset ?? scenario}`, async () => (await demo.api("/work-orders?status=open")).items.find((one) => of(one) && one.alarms.length > 0));
    for (const step of steps) {
      const said = await demo.api(`/work-orders/${order.no}/transitions`, body(step));
      assert.ok(said?.no, JSON.stringify(said));
    }
    return order.no;
  };
  const { user } = demo.second();
  const work = [{ to: "assigned", assignee: user }, { to: "accepted" }, { to: "on_site" }, { to: "in_progress" }];
  const done = { to: "completed", cause: "a worn sill", remedy: "a new sill" };
  return {
    assigned: await raised("entrapment", "A3", work[0]),
    held: await raised("door-fault", "A1", ...work, { to: "on_hold", reason: "the part comes tomorrow" }),
    done: await raised("mains-loss", "A2", ...work, done),
    again: await raised("pump-overload", "BW1", ...work, done, { to: "in_progress", reason: "it trips again" }),
    reported: await made("A5"),
  };
}

test("which time limit of an order is meant is said at every width", { skip: skip() }, async () => {
  const all = await orders();
  for (const lang of ["zh-CN", "en"]) await limits(lang, all);
  await demo.scenario("all-clear");
});

/** Looks at the orders on every page and at every width. */
async function limits(lang, { assigned, held, done, again }) {
  const words = { "zh-CN": [/完工时限/, /停表，剩/, /重开/], en: [/to complete/i, /stopped, .* left/, /re-opened/] }[lang];
  for (const [width, height] of [[1920, 1080], [1366, 768], [390, 844], [320, 640]]) {
    const context = await browser.newContext({ viewport: { width, height } });
    const page = await demo.sign_in(context, lang);
    for (const [path, rows, list] of [["/", ".wo tbody", ".wo"], ["/work-orders", ".cards tbody tr", ".cards"]]) {
      await page.goto(`${demo.said.dashboard}${path}`);
      await live(page);
      const row = (no) => page.locator(rows).filter({ has: page.locator(`[href="/work-orders/${no}"]`) });
      for (const [no, parts] of [[assigned, []], [held, [words[1]]], [again, [words[2]]]]) {
        const said = await row(no).innerText();
        for (const part of parts) assert.match(said, part);
        const label = row(no).locator(".lim .lb");
        if (width > 720) assert.match(await page.locator(`${list} thead`).innerText(), words[0]);
        else assert.ok(await label.isVisible(), `${path} at ${width}`);
        assert.match(await label.textContent(), words[0]);
        const lines = await row(no).locator(".lim").evaluate((shown) => shown.getClientRects().length);
        if (width > 720) assert.equal(lines, 1, `${path} at ${width}: ${said}`);
      }
      assert.equal(await row(done).locator(".lim").count(), 0);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      await screenshot(page, `limits-${width}${path === "/" ? "" : "-list"}-${lang}`);
      assert.ok(wide <= width, `${path} is ${wide} px wide`);
    }
    for (const no of [assigned, held, done, again]) {
      await page.goto(`${demo.said.dashboard}/work-orders/${no}`);
      await live(page);
      if (no === held || no === again) await screenshot(page, `limits-order-${no === held ? "held" : "again"}-${width}-${lang}`);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
    }
    const { alarms } = await demo.api(`/work-orders/${again}`);
    await page.goto(`${demo.said.dashboard}/alarms/${alarms.at(-1)}`);
    await live(page);
    await screenshot(page, `limits-alarm-${width}-${lang}`);
    assert.match(await page.locator("dd", { has: page.locator(`[href="/work-orders/${again}"]`) }).innerText(), words[2]);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
    await context.close();
  }
}
