// The script of the pages before the sign-in: a form is sent once. They also work without it.

document.addEventListener("submit", (event) => {
  const form = event.target as HTMLFormElement;
  if ("busy" in form.dataset) return event.preventDefault();
  form.dataset["busy"] = "";
  for (const button of form.querySelectorAll("button")) button.setAttribute("aria-busy", "true");
  // An answer that does not come must not lock the form for good.
  setTimeout(() => free(form), 10_000);
});

// A page that comes back from the browser's memory is a new try.
addEventListener("pageshow", () => [...document.forms].forEach(free));

function free(form: HTMLFormElement): void {
  delete form.dataset["busy"];
  for (const button of form.querySelectorAll("button")) button.removeAttribute("aria-busy");
}
