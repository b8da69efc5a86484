// The demo as the browser tests drive it: started as it is shipped, asked over its own API and control port.
// It must never leave a process behind, nor wait for a time instead of a condition.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setInterval } from "node:timers/promises";

/** The longest wait for something that must happen, on a slow machine that has much else to do. */
export const SOON = 120_000;

/** Asks until it holds. */
export async function until(what, holds, patience = SOON) {
  const end = Date.now() + patience;
  for await (const _ of setInterval(100)) {
    const found = await holds();
    if (found) return found;
    assert.ok(Date.now() < end, `waited too long for ${what}`);
  }
}

/** The password of every person that a test makes. */
const PASSWORD = "a quiet night on shift";

function program() {
  const named = process.env.ZHIBAN_BIN;
  assert.ok(named, "ZHIBAN_BIN names the built program (tests/run sets it)");
  return named;
}

/** A running demo. */
export class Demo {
  #child;
  #folder = mkdtempSync(join(tmpdir(), "zhiban-browser-"));

  /** Starts one, as a user does. */
  static async start() {
    const demo = new Demo();
    await demo.#run("127.0.0.1:0");
    return demo;
  }

  async #run(listen) {
    const place = ["--listen", listen, "--data-dir", this.#folder];
    this.#child = spawn(program(), ["--log", "warn", "demo", "--json", "--speed", "5", ...place], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface({ input: this.#child.stdout })) {
      this.said = JSON.parse(line);
      return;
    }
    throw new Error("the demo ended before it said where it is");
  }

  /** Ends it as a power cut does. */
  async kill() {
    const over = once(this.#child, "exit");
    this.signal("SIGKILL");
    await over;
  }

  /** Starts it again at the same place, on what it left; its own accounts must sign in anew. */
  async again() {
    await this.#run(new URL(this.said.dashboard).host);
  }

  /** Sends it a signal. */
  signal(name) {
    this.#child.kill(name);
  }

  /** Ends it, as the system would. */
  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const over = once(this.#child, "exit");
    this.signal("SIGTERM");
    await over;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Does something with an account, as an administrator does in the shell. */
  account(action, name, ...options) {
    const config = join(this.#folder, "accounts.toml");
    const site = '[site]\ncode = "demo"\nname = { zh = "演示", en = "Demo" }\ntime_zone = "Asia/Shanghai"\n';
    writeFileSync(config, `${site}[storage]\ndata_dir = ${JSON.stringify(this.#folder)}\n`);
    const input = `${PASSWORD}\n`;
    const done = spawnSync(program(), ["user", action, name, "--config", config, ...options], { input, encoding: "utf8" });
    assert.equal(done.status, 0, done.stderr);
  }

  /** Another person with an account of their own. */
  person(user, name) {
    this.account("add", user, "--display-name", name);
    return { user, name, password: PASSWORD };
  }

  /** The second person whose sign-in the demo prints. */
  second() {
    return { user: this.said.second_user, password: this.said.second_password };
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

  /** Waits until nothing is wrong; an alarm stands for up to two minutes after its cause, a latched one until it is acknowledged. */
  async calm() {
    const normal = async () => {
      for (const one of (await this.api("/alarms?state=unacknowledged")).items) await this.api(`/alarms/${one.id}/ack`, { method: "POST", body: "{}" });
      return (await this.api("/assets")).items.every((one) => one.state === "normal");
    };
    await until("a calm building", normal, 120_000 + SOON);
  }

  /** The open alarm of an asset, once there is one. */
  async alarm(asset) {
    return until(`an alarm of ${asset}`, async () => {
      const open = await this.api("/alarms?state=open");
      return open.items.find((one) => one.asset === asset);
    });
  }

  /** Signs in and is on the overview; `place` when it is not reached where it is, `who` when it is somebody else. */
  async sign_in(context, lang, place = this.said.dashboard, who = this.said) {
    const page = await context.newPage();
    page.on("pageerror", (error) => assert.fail(`the page failed: ${error}`));
    page.on("console", (entry) => {
      // A strict policy that stops something of ours is a fault of ours.
      assert.ok(!/Content Security Policy/i.test(entry.text()), entry.text());
    });
    await page.goto(`${place}/?lang=${lang}`);
    await enter(page, who);
    return page;
  }
}

/** Fills in the sign-in page and sends it, as people do who press every button twice. */
export async function enter(page, who) {
  await page.fill("[name=username]", who.user);
  await page.fill("[name=password]", who.password);
  await page.dblclick("button.pri");
  await page.waitForSelector("#bar");
}

/** Waits until a page's live values come. */
export const live = (page) => page.locator("html[data-link=live]").waitFor({ timeout: SOON });
