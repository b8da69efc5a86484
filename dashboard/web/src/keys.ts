// Keys of the desk; each does what a button does. Off while somebody writes, and for good with localStorage `keys` = `off`.

const PAGES: Record<string, string> = { o: "/", l: "/alarms", w: "/work-orders", d: "/assets" };

/** Listens for the keys. */
export function listen(): void {
  addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input,textarea,select,[contenteditable]")) return;
    if (localStorage.getItem("keys") === "off") return;
    const key = event.key.toLowerCase();
    const page = PAGES[key];
    if (key === "a") document.querySelector<HTMLButtonElement>("[data-ack]")?.click();
    else if (page) location.assign(page);
  });
}
