// Keys of the desk; each does what a button does. Off while somebody writes, and for good with localStorage `keys` = `off`.

const PAGES: Record<string, string> = { o: "/", l: "/alarms", w: "/work-orders", d: "/assets" };
/** For so long after the last letter somebody is still writing, though the field was taken away. */
const WRITING = 2000;
let written = 0;
let taken = false;

/** The field that somebody wrote in is gone: the letters that follow are no commands. */
export function leftField(): void {
  taken = true;
  written = Date.now();
}

/** Listens for the keys. */
export function listen(): void {
  addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input,textarea,select,[contenteditable]")) return;
    taken &&= Date.now() - written < WRITING;
    if (taken) written = Date.now();
    if (taken || event.repeat || localStorage.getItem("keys") === "off") return;
    const key = event.key.toLowerCase();
    const page = PAGES[key];
    if (key === "a") document.querySelector<HTMLButtonElement>("[data-ack]")?.click();
    else if (page) location.assign(page);
  });
}
