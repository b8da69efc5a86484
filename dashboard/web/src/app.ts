// The script of every page: live values, ticking times, fragments, forms. The page also works without it.

import { tick } from "./clock";
import { listenForWriting, restore } from "./drafts";
import { listen } from "./keys";
import { listenForLength } from "./limits";
import { listenForPhotos, look } from "./photos";
import { adopt } from "./notices";
import { hold, listenForPresses } from "./press";
import { overtake, refresh, start } from "./refresh";
import { listenForCorrections } from "./refusals";
import { listenForSending } from "./sending";
import { connect, showLink } from "./stream";
import { bind, last, onRow } from "./values";
import { renew } from "./version";

declare global {
  interface Window {
    /** What the trend's script, loaded when needed, gets from this one. */
    zhiban?: { last: typeof last; onRow: typeof onRow };
  }
}

function settle(): void {
  bind();
  tick();
  restore();
  void look();
  showLink();
  renew();
  wantTrend();
}

function wantTrend(): void {
  const source = document.body.dataset["trendScript"];
  const wanted = document.querySelector("[data-trend]");
  if (!wanted || !source) return;
  if (document.querySelector("script[data-trend-code]")) {
    document.dispatchEvent(new CustomEvent("zhiban:trend"));
    return;
  }
  const script = document.createElement("script");
  script.src = source;
  script.dataset["trendCode"] = "";
  document.head.append(script);
}

window.zhiban = { last, onRow };
// Whoever pressed twice meant what was on the page before this one.
hold(new Map());
listenForPresses();
listenForSending(refresh, overtake);
start(settle);
listenForLength();
listenForCorrections();
adopt();
listenForWriting();
settle();
connect(refresh);
listen();
listenForPhotos();
setInterval(tick, 1000);
