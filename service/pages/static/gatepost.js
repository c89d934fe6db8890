// What the pages do by themselves: news by server-sent events, keys, filters that apply at once.
// Everything works without it, by a click and a reload.
"use strict";

const policy = window.trustedTypes?.createPolicy("gatepost", { createHTML: (text) => text });
const parsed = (text) => new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, "text/html");

// News: the same page is fetched again from our own server, and takes the place of what is shown;
// unless somebody is writing here, then it says that there is something.

const writing = () => {
  const touched = [...document.querySelectorAll("main textarea, main input:not([type=hidden]), main select")].some(
    (field) =>
      field.type === "checkbox" ? field.checked !== field.defaultChecked
      : field.tagName === "SELECT" ? field.selectedIndex !== Math.max(0, [...field.options].findIndex((one) => one.defaultSelected))
      : field.value !== field.defaultValue);
  return touched || /^(TEXTAREA|INPUT|SELECT)$/.test(document.activeElement?.tagName ?? "");
};

let fetching = false;
let again = false;
async function refresh() {
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    // Of a question that is looked at, the same one again: nothing may take its place under somebody's finger.
    const asked = document.querySelector("[data-question]")?.dataset.question;
    const where = asked ? `/inbox/${encodeURIComponent(asked)}${location.search}` : location.href;
    const answer = await fetch(where, { credentials: "same-origin", redirect: "error" });
    if (!answer.ok) return;
    const page = parsed(await answer.text());
    document.title = page.title;
    document.querySelector("nav")?.replaceWith(page.querySelector("nav") ?? "");
    if (writing()) {
      const list = document.querySelector("[data-live]");
      const next = page.querySelector("[data-live]");
      if (list && next) list.replaceWith(next);
      else say("Something has happened here since.");
      return;
    }
    const open = [...document.querySelectorAll("main details")].map((one) => one.open);
    const focused = document.activeElement?.id || document.activeElement?.getAttribute?.("href");
    const main = page.querySelector("main");
    if (main) {
      const split = document.querySelector(".split");
      if (split) main.querySelector(".split")?.classList.toggle("alone", split.classList.contains("alone"));
      document.querySelector("main").replaceWith(main);
      main.querySelectorAll("details").forEach((one, index) => { if (open[index]) one.open = true; });
      const back = focused && [...main.querySelectorAll("[id], [href]")]
        .find((one) => one.id === focused || one.getAttribute("href") === focused);
      back?.focus({ preventScroll: true });
    }
    document.body.dataset.stamp = page.body.dataset.stamp ?? "";
    if (!page.body.dataset.refresh) events?.close();
  } catch { /* it comes with the next event */ } finally {
    fetching = false;
    if (again) { again = false; setTimeout(refresh, 250); }
  }
}

function say(text) {
  const news = document.querySelector(".news");
  news.querySelector("span").textContent = text;
  news.hidden = false;
}

let events = null;
let timer = 0;
if (document.body.dataset.refresh) {
  events = new EventSource(document.body.dataset.refresh);
  const soon = () => { clearTimeout(timer); timer = setTimeout(refresh, 200); };
  for (const kind of ["inbox", "status"]) {
    events.addEventListener(kind, (event) => {
      if (JSON.parse(event.data).stamp !== document.body.dataset.stamp) soon();
    });
  }
  events.addEventListener("end", () => events?.close());
}

// On a narrow screen the tabs are wider than it: the one that is open is brought into sight.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

document.addEventListener("click", (event) => {
  if (event.target.closest?.("[data-reload]")) location.reload();
});
document.addEventListener("change", (event) => {
  if (event.target.matches?.("[data-all]")) {
    event.target.closest("form").querySelectorAll("tbody input[type=checkbox]").forEach((one) => { one.checked = event.target.checked; });
  }
  if (event.target.matches?.("[data-submit]")) event.target.form.requestSubmit();
});
document.addEventListener("submit", (event) => {
  // Two clicks are one answer for the server as well; this only says that the first was heard.
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
  const button = event.submitter;
  if (form.dataset.busy && button) { button.textContent = form.dataset.busy; button.setAttribute("aria-busy", "true"); }
});
addEventListener("pageshow", () => document.querySelectorAll("[data-sent]").forEach((one) => delete one.dataset.sent));

// Stepping: the next state takes the place of this one without the page being loaded anew.
let stepping = 0;
async function step(where, push) {
  const number = ++stepping;
  try {
    const answer = await fetch(where, { credentials: "same-origin", redirect: "error" });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = parsed(await answer.text());
    if (number !== stepping) return;  // somebody was faster than the answer
    const focused = document.activeElement?.id;
    document.title = page.title;
    document.querySelector("main").replaceWith(page.querySelector("main"));
    if (push) history.pushState({ step: true }, "", where);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  } catch { location.assign(where); }
}
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-step]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  step(link.href, true);
});
addEventListener("popstate", () => { if (document.querySelector("[data-step]")) step(location.href, false); });

// Keys: j and k go through the list; a, r and e bring one to the button. Enter confirms.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^(TEXTAREA|INPUT|SELECT)$/.test(event.target.tagName)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const go = document.querySelector(`a[data-go="${event.key}"]`);
  if (go) { event.preventDefault(); go.click(); return; }
  const items = [...document.querySelectorAll("a.item")];
  const at = items.findIndex((item) => item.getAttribute("aria-current") === "true");
  if (event.key === "j") items[at + 1]?.click();
  else if (event.key === "k") items[at - 1]?.click();
  else if (event.key === "a" || event.key === "r") document.querySelector(`[data-key="${event.key}"]`)?.focus();
  else if (event.key === "e") {
    const edit = document.querySelector("[data-edit]");
    if (edit) { edit.open = true; edit.querySelector("input, textarea, select")?.focus(); event.preventDefault(); }
  }
});
