// The live link where it is weakest: what happens before it is open, while a refresh is on its way or refused,
// among several tabs, and when the gateway goes. A page must never say "live" over something that is over.

import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { screenshot, skip } from "./browser.mjs";
import { live, SOON, until } from "./demo.mjs";
import { browser, demo } from "./stage.mjs";

const bar = (page, asset) => page.locator("#bar.un", { hasText: asset }).waitFor({ timeout: SOON });
const own = (context) => context.addInitScript(() => delete window.SharedWorker);
/** Keeps what the stream told of alarms, for tests that must know that it was told. */
const listening = (context) =>
  context.addInitScript(() => {
    window.told = [];
    window.EventSource = class extends EventSource {
      constructor(url) {
        super(url);
        this.addEventListener("alarm", (event) => window.told.push(event.data));
      }
    };
  });
const isRefresh = (request) => request.headers()["hx-request"] === "true";

/** Closes a context; a request that a test still held back fails for nobody. */
async function leave(context) {
  for (const routed of [context, ...context.pages()]) await routed.unrouteAll({ behavior: "ignoreErrors" });
  await context.close();
}

/** Acknowledges everything, so that the next alarm is the one in the bar. */
async function quiet() {
  await until("no unacknowledged alarm", async () => {
    const waiting = (await demo.api("/alarms?state=open")).items.filter((one) => one.state.includes("unack"));
    for (const one of waiting) await demo.api(`/alarms/${one.id}/ack`, { method: "POST", body: "{}" });
    return waiting.length === 0;
  });
}

/** Opens a page whose HTML is from before an alarm, and whose stream opens after it. */
async function late(context, path, asset) {
  const page = await context.newPage();
  let held = false;
  await page.route((url) => url.pathname === path, async (route) => {
    if (held) return route.continue();
    held = true;
    const drawn = await route.fetch();
    await demo.scenario("door-fault", { asset });
    await demo.alarm(asset);
    await route.fulfill({ response: drawn });
  });
  await page.goto(`${demo.said.dashboard}${path}`);
  return page;
}

for (const [how, prepare, asset] of [
  ["a stream of its own", own, "A1"],
  ["the stream of all tabs", () => {}, "A2"],
]) {
  test(`an alarm between the page and ${how} is shown`, { skip: skip() }, async () => {
    await quiet();
    const context = await browser.newContext();
    await prepare(context);
    const first = await demo.sign_in(context, "en");
    await live(first);
    const page = await late(context, "/", asset);
    await bar(page, asset);
    await live(page);
    await bar(first, asset);
    await leave(context);
  });
}

test("a refresh that is refused changes nothing and is made good", { skip: skip() }, async () => {
  await quiet();
  const context = await browser.newContext();
  await own(context);
  const page = await demo.sign_in(context, "en");
  await live(page);
  let refused = 0;
  await context.route((url) => url.pathname === "/", async (route) => {
    if (!isRefresh(route.request())) return route.continue();
    refused += 1;
    if (refused > 2) return route.continue();
    const body = '<html><body><div id="page">503</div></body></html>';
    return route.fulfill({ status: 503, contentType: "text/html", body });
  });
  await demo.scenario("door-fault", { asset: "A3" });
  await until("the refusals", () => refused > 0);
  assert.equal(await page.locator("#refresh").count(), 1, "the page is what it was");
  assert.equal(await page.locator("#bar").count(), 1);
  await bar(page, "A3");
  assert.ok(refused > 2, "it was asked for again");
  await leave(context);
});

test("a change that is told but cannot be shown is said, though the stream lives", { skip: skip() }, async () => {
  await quiet();
  const context = await browser.newContext();
  await own(context);
  const page = await demo.sign_in(context, "en");
  await live(page);
  await context.route((url) => url.pathname === "/", (route) => (isRefresh(route.request()) ? route.fulfill({ status: 503, body: "" }) : route.continue()));
  await demo.scenario("mains-loss", { asset: "A2" });
  await page.locator("#bar [data-unknown]:not([hidden])").waitFor({ timeout: SOON });
  await context.unrouteAll({ behavior: "ignoreErrors" });
  await bar(page, "A2");
  await live(page);
  await leave(context);
});

test("what happens while a refresh is on its way is shown too", { skip: skip() }, async () => {
  await quiet();
  const context = await browser.newContext();
  await own(context);
  await listening(context);
  const page = await demo.sign_in(context, "en");
  await live(page);
  let held;
  await context.route((url) => url.pathname === "/", async (route) => {
    if (!isRefresh(route.request()) || held) return route.continue();
    held = { drawn: await route.fetch() };
    await new Promise((go) => (held.go = go));
    await route.fulfill({ response: held.drawn });
  });
  await demo.scenario("door-fault", { asset: "A4" });
  await until("the first refresh", () => held?.go);
  await demo.scenario("door-fault", { asset: "A6" });
  await demo.alarm("A6");
  await page.waitForFunction(() => window.told.some((data) => data.includes('"A6"')), null, { timeout: SOON });
  // Its refresh is due within a second of the page's own clock, and cannot go while the first is held.
  for (let ticks = 0; ticks < 3; ticks += 1) {
    const shown = await page.locator(".clk").innerText();
    await page.locator(".clk").filter({ hasNotText: shown }).waitFor({ timeout: SOON });
  }
  held.go();
  await page.locator(".alp .al", { hasText: "A6" }).waitFor({ timeout: SOON });
  await leave(context);
});

/** A page that says it shows another set than it does. */
async function claiming(context, set) {
  const page = await context.newPage();
  await page.route((url) => url.pathname === "/assets", async (route) => {
    const drawn = await route.fetch();
    const body = (await drawn.text()).replace(/data-sets="[^"]*"/, `data-sets="${set}"`);
    await route.fulfill({ response: drawn, body });
  });
  await page.goto(`${demo.said.dashboard}/assets`);
  return page;
}

test("more tabs than a stream has sets, some of nothing: those that are looked at are live", { skip: skip() }, async () => {
  await quiet();
  const context = await browser.newContext();
  const first = await demo.sign_in(context, "en");
  await live(first);
  const old = await context.newPage();
  await old.goto(`${demo.said.dashboard}/assets/A1`);
  await live(old);
  let gone;
  for (let n = 1; n <= 16; n += 1) gone = await claiming(context, `asset:GONE${n}`);
  const last = await context.newPage();
  await last.goto(`${demo.said.dashboard}/assets/BW1`);
  await live(last);
  await live(first);
  await old.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await live(old);
  assert.notEqual(await gone.locator("html").getAttribute("data-link"), "live", "nothing is known of what is not there");
  const metrics = async () => {
    const headers = { authorization: `Bearer ${demo.said.token}` };
    return (await fetch(`${demo.said.dashboard}/metrics`, { headers })).text();
  };
  await until("one stream for all of them", async () => /^zhiban_streams 1$/m.test(await metrics()));
  await demo.scenario("door-fault", { asset: "A5" });
  await bar(first, "A5");
  await leave(context);
});

for (const lang of ["zh-CN", "en"]) {
  test(`a newer version is taken by a calm page and announced on another, ${lang}`, { skip: skip() }, async () => {
    const context = await browser.newContext();
    await own(context);
    const page = await demo.sign_in(context, lang);
    await live(page);
    let loads = 0;
    const old = async (route) => {
      loads += 1;
      const drawn = await route.fetch();
      await route.fulfill({ response: drawn, body: (await drawn.text()).replace(/data-version="[^"]*"/, 'data-version="0.0.0"') });
    };
    await page.route((url) => url.pathname === "/assets", (route) => (isRefresh(route.request()) ? route.continue() : old(route)));
    await page.goto(`${demo.said.dashboard}/assets`);
    await page.locator("[data-newer]:not([hidden])").waitFor({ timeout: SOON });
    await quiet();
    // Calm now: loaded anew by itself, once; as it is the old one still, it says so and stays.
    await until("the page to load itself", () => loads === 2);
    await page.locator("[data-newer]:not([hidden])").waitFor({ timeout: SOON });
    await live(page);
    assert.equal(loads, 2);
    await screenshot(page, `newer-${lang}`);
    await leave(context);
  });
}

test("a session that ends elsewhere takes its pages with it", { skip: skip() }, async () => {
  const context = await browser.newContext();
  const page = await demo.sign_in(context, "en");
  await live(page);
  const other = await context.newPage();
  await other.goto(`${demo.said.dashboard}/alarms`);
  await other.click("form.out button");
  await page.waitForURL(/\/login/, { timeout: SOON });
  await leave(context);
});

/** A way to the demo that can be cut. */
class Way {
  #open = new Set();
  #server = createServer((near) => {
    const { hostname, port } = new URL(demo.said.dashboard);
    const far = connect(Number(port), hostname);
    for (const [one, other] of [[near, far], [far, near]]) {
      this.#open.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
      one.pipe(other);
    }
  });

  /** Opens it, again at the same port. */
  async open() {
    await new Promise((done) => this.#server.listen(this.port ?? 0, "127.0.0.1", done));
    this.port = this.#server.address().port;
  }

  async cut() {
    const closed = new Promise((done) => this.#server.close(done));
    for (const socket of this.#open) socket.destroy();
    this.#open.clear();
    await closed;
  }
}

for (const [what, lang, words, asset] of [
  ["that hangs", "zh-CN", /中断/, "A6"],
  ["to which the way is cut", "en", /No connection/, "A1"],
]) {
  test(`a gateway ${what} is said to be gone, and comes back without a reload`, { skip: skip() }, async () => {
    await demo.scenario("all-clear");
    await quiet();
    const way = new Way();
    await way.open();
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const page = await demo.sign_in(context, lang, `http://127.0.0.1:${way.port}`);
    await live(page);
    await page.evaluate(() => {
      window.stayed = true;
      window.links = [];
      const html = document.documentElement;
      new MutationObserver(() => window.links.push(html.dataset.link)).observe(html, { attributeFilter: ["data-link"] });
    });
    const hangs = what === "that hangs";
    if (hangs) demo.signal("SIGSTOP");
    else await way.cut();
    await page.locator("[data-lost]", { hasText: words }).waitFor({ timeout: SOON });
    assert.equal(await page.locator("html").getAttribute("data-link"), "lost");
    assert.match(await page.locator("main").evaluate((main) => getComputedStyle(main).filter), /grayscale/);
    assert.match(await page.locator("#bar [data-unknown]").innerText(), /\d\d:\d\d:\d\d/, "the bar says since when nothing is known");
    assert.equal(await page.locator("#bar .known").isVisible(), false, "nor does it say that nothing waits");
    await screenshot(page, `lost-${lang}`);
    // Wherever on the page somebody reads, on a phone too.
    await page.setViewportSize({ width: 390, height: 600 });
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await page.waitForFunction(() => {
      const { top, bottom } = document.querySelector("[data-lost]").getBoundingClientRect();
      return scrollY > 300 && top >= 0 && bottom <= innerHeight;
    }, undefined, { timeout: SOON });
    await screenshot(page, `lost-scrolled-${lang}`);
    await page.setViewportSize({ width: 1280, height: 900 });
    // Whatever the page's own parts say to each other meanwhile: nothing is known until the gateway speaks.
    await page.waitForFunction(() => /1[3-9] /.test(document.querySelector("[data-lost]").textContent), undefined, { timeout: SOON });
    assert.equal(await page.evaluate(() => window.links.includes("live")), false, "it never counts as live in between");
    if (hangs) demo.signal("SIGCONT");
    else await way.open();
    await live(page);
    await page.locator("[data-lost]").waitFor({ state: "hidden", timeout: SOON });
    await demo.scenario("mains-loss", { asset });
    await bar(page, asset);
    assert.ok(await page.evaluate(() => window.stayed), "the page was not loaded anew");
    await leave(context);
    await way.cut();
  });
}

test("a counter that a browser's numbers cannot hold is shown digit by digit", { skip: skip() }, async () => {
  const context = await browser.newContext();
  await own(context);
  await context.addInitScript(() => {
    window.EventSource = class extends EventSource {
      constructor(url) {
        super(url);
        window.stream = this;
      }
    };
  });
  const page = await demo.sign_in(context, "en");
  await page.goto(`${demo.said.dashboard}/assets/A1`);
  await live(page);
  const counter = page.locator('[data-v][data-k="counter"]:not([data-w])').first();
  const key = await counter.getAttribute("data-v");
  for (const [sent, shown] of [["9007199254740993", "9,007,199,254,740,993"], ["-9223372036854775808", "-9,223,372,036,854,775,808"]]) {
    // The next real value may come between: what was sent must have been there once.
    await page.evaluate(
      ([key, sent]) => {
        const element = document.querySelector(`[data-v="${key}"][data-k="counter"]`);
        window.shown = [];
        new MutationObserver(() => window.shown.push(element.textContent)).observe(element, { childList: true, characterData: true, subtree: true });
        window.stream.dispatchEvent(new MessageEvent("p", { data: JSON.stringify([[key, sent, 0, Date.now()]]) }));
      },
      [key, sent],
    );
    await page.waitForFunction((shown) => window.shown.includes(shown), shown, { timeout: SOON });
  }
  await leave(context);
});
