// The demo as the browser tests drive it: started as it is shipped, asked over its own API and control port.
// It must never leave a process behind, nor wait for a time instead of a condition.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setInterval } from "node:timers/promises";

/** The longest wait for something that must happen. */
export const SOON = 30_000;

/** Asks until it holds. */
export async function until(what, holds) {
  const end = Date.now() + SOON;
  for await (const _ of setInterval(100)) {
    const found = await holds();
    if (found) return found;
    assert.ok(Date.now() < end, `waited too long for ${what}`);
  }
}

/** A running demo. */
export class Demo {
  #child;

  /** Starts one, as a user does. */
  static async start() {
    const program = process.env.ZHIBAN_BIN;
    assert.ok(program, "ZHIBAN_BIN names the built program (tests/run sets it)");
    const demo = new Demo();
    demo.#child = spawn(program, ["--log", "warn", "demo", "--json", "--listen", "127.0.0.1:0", "--speed", "5"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface({ input: demo.#child.stdout })) {
      demo.said = JSON.parse(line);
      return demo;
    }
    throw new Error("the demo ended before it said where it is");
  }

  /** Sends it a signal. */
  signal(name) {
    this.#child.kill(name);
  }

  /** Ends it, as the system would. */
  async stop() {
    if (this.#child.exitCode !== null) return;
    const over = once(this.#child, "exit");
    this.signal("SIGTERM");
    await over;
  }

  /** Asks the API. */
  async api(path, options = {}) {
    const answer = await fetch(`${this.said.dashboard}/api/v1${path}`, {
      ...options,
      headers: { authorization: `Bearer ${this.said.token}`, "content-type": "application/json" },
    });
    return answer.status === 204 ? null : answer.json();
  }

  /** Makes something happen in the virtual building. */
  async scenario(name, body = {}) {
    const answer = await fetch(`${this.said.control}/scenarios/${name}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    assert.equal(answer.status, 202);
  }

  /** Waits until nothing is wrong. */
  async calm() {
    await until("a calm building", async () => (await this.api("/assets")).items.every((one) => one.state === "normal"));
  }

  /** The open alarm of an asset, once there is one. */
  async alarm(asset) {
    return until(`an alarm of ${asset}`, async () => {
      const open = await this.api("/alarms?state=open");
      return open.items.find((one) => one.asset === asset);
    });
  }

  /** Signs in and is on the overview; `place` when it is not reached where it is. */
  async sign_in(context, lang, place = this.said.dashboard) {
    const page = await context.newPage();
    page.on("pageerror", (error) => assert.fail(`the page failed: ${error}`));
    page.on("console", (entry) => {
      // A strict policy that stops something of ours is a fault of ours.
      assert.ok(!/Content Security Policy/i.test(entry.text()), entry.text());
    });
    await page.goto(`${place}/?lang=${lang}`);
    await page.fill("[name=username]", this.said.user);
    await page.fill("[name=password]", this.said.password);
    await page.click("button.pri");
    await page.waitForSelector("#bar");
    return page;
  }
}

/** Waits until a page's live values come. */
export const live = (page) => page.locator("html[data-link=live]").waitFor({ timeout: SOON });
