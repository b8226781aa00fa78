// What every page has: the way around, the theme, forms that ask first, times that go on, what is live, the keyboard.
import { watch } from "./live.js";
import { forget } from "./forget.js";
import { page, refresh } from "./part.js";
import { toast } from "./toast.js";

// The way around on small screens.
const menu = document.querySelector("button.menu");
if (menu instanceof HTMLButtonElement) {
  const narrow = matchMedia("(max-width: 55rem)");
  const fit = () => (menu.hidden = !narrow.matches);
  narrow.addEventListener("change", fit);
  fit();
  menu.addEventListener("click", () => {
    const open = document.getElementById("ways")?.classList.toggle("open") ?? false;
    menu.setAttribute("aria-expanded", String(open));
  });
}

// Light, dark, or as the system has it.
const theme = document.querySelector("[data-theme-switch]");
if (theme instanceof HTMLButtonElement) {
  const root = document.documentElement;
  const order = ["", "light", "dark"];
  const name = () => (theme.textContent = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" }[root.dataset.theme ?? ""] ?? "Theme");
  theme.hidden = false;
  name();
  theme.addEventListener("click", () => {
    const next = order[(order.indexOf(root.dataset.theme ?? "") + 1) % order.length] ?? "";
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    try {
      localStorage.setItem("theme", next);
    } catch {
      // Chosen for this page alone.
    }
    name();
  });
}

// Whoever signs out leaves no conversation behind.
document.querySelector('form[action="/console/logout"]')?.addEventListener("submit", forget);

// Forms that ask first, and none that is sent twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.method !== "post") return;
  if (form.dataset.sent === "1") {
    event.preventDefault();
    return;
  }
  const question = form.dataset.sure;
  if (question && form.dataset.asked !== "1") {
    event.preventDefault();
    sure(question).then((yes) => {
      if (!yes) return;
      form.dataset.asked = "1";
      form.requestSubmit(event.submitter instanceof HTMLElement ? event.submitter : undefined);
    });
    return;
  }
  // After a file the page is still there.
  if (!("file" in form.dataset)) form.dataset.sent = "1";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) form.removeAttribute("data-sent");
});

/**
 * @param {string} question
 * @returns {Promise<boolean>}
 */
function sure(question) {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    const words = document.createElement("p");
    words.textContent = question;
    const form = document.createElement("form");
    form.method = "dialog";
    form.className = "row";
    for (const [value, label] of [["", "Cancel"], ["yes", "Yes, do it"]]) {
      const button = document.createElement("button");
      button.value = value ?? "";
      button.textContent = label ?? "";
      if (value) button.className = "main";
      form.append(button);
    }
    dialog.append(words, form);
    document.body.append(dialog);
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    });
    dialog.showModal();
  });
}

// A filter applies when it is chosen.
document.addEventListener("change", (event) => {
  if (event.target instanceof HTMLSelectElement) event.target.closest("form[data-filters]") instanceof HTMLFormElement && event.target.form?.requestSubmit();
});

// Times that go on.
/** @param {number} seconds */
function lasting(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
let seconds = 0;
setInterval(() => {
  if (document.hidden) return;
  const times = document.querySelectorAll("time[data-ago], time[data-until]");
  seconds += 1;
  // Thousands are told less often.
  if (times.length > 500 && seconds % 15 !== 0) return;
  for (const time of times) {
    if (!(time instanceof HTMLElement)) continue;
    const now = Date.now();
    const words = time.dataset.until
      ? Number(time.dataset.until) > now
        ? lasting((Number(time.dataset.until) - now) / 1000)
        : "over"
      : Number(time.dataset.ago) > now
        ? `in ${lasting((Number(time.dataset.ago) - now) / 1000)}`
        : `${lasting((now - Number(time.dataset.ago)) / 1000)} ago`;
    if (time.textContent !== words) time.textContent = words;
  }
}, 1000);

// What is older is added below, without a new page.
document.addEventListener("click", async (event) => {
  const more = event.target instanceof Element ? event.target.closest("a[data-more]") : null;
  if (!(more instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  await older(more);
});
/** @param {HTMLAnchorElement} more */
async function older(more) {
  const list = more.closest("[data-part]");
  if (!(list instanceof HTMLElement) || more.dataset.busy) return;
  more.dataset.busy = "1";
  try {
    const next = (await page(more.href)).querySelector(`[data-part="${CSS.escape(list.dataset.part ?? "")}"]`);
    // A body of its own: what is far away is not laid out.
    const body = document.createElement("tbody");
    body.setAttribute("role", "rowgroup");
    for (const row of next?.querySelectorAll("tbody > tr") ?? []) body.append(document.importNode(row, true));
    body.style.setProperty("contain-intrinsic-block-size", `auto ${body.rows.length * 38}px`);
    list.querySelector("table")?.append(body);
    const link = next?.querySelector("a[data-more]");
    if (link instanceof HTMLAnchorElement) {
      more.href = link.href;
      delete more.dataset.busy;
      list.dataset.longer = "1";
    } else more.closest(".more")?.remove();
  } catch {
    location.assign(more.href);
  }
}
const nearly = new IntersectionObserver((seen) => {
  for (const one of seen) if (one.isIntersecting && one.target instanceof HTMLAnchorElement && one.target.closest("[data-longer]")) older(one.target);
}, { rootMargin: "600px" });
const observe = () => document.querySelectorAll("a[data-more]").forEach((more) => nearly.observe(more));
observe();

// What is live: figures are put in place at once, lists say how much is new and wait for a click, so that no row jumps.
const main = document.getElementById("main");
const kinds = main?.dataset.live?.split(" ") ?? [];
const waits = document.querySelector("[data-waits]") !== null;
let fresh = 0;
/** @type {number | undefined} */
let timer;
const pill = document.createElement("div");
pill.className = "pill";
pill.hidden = true;
const pillButton = document.createElement("button");
pillButton.type = "button";
pill.append(pillButton);
const said = document.createElement("p");
said.className = "hidden";
said.setAttribute("aria-live", "polite");
// How long the last look took decides how soon the next one may be: whoever watches is no load.
let pause = 1500;
let stale = false;
async function update() {
  timer = undefined;
  if (!document.querySelector("[data-part]")) return;
  if (document.hidden) {
    stale = true;
    return;
  }
  const began = performance.now();
  try {
    await refresh();
    fresh = 0;
    stale = false;
    pill.hidden = true;
    observe();
  } catch {
    // The next entry tries again.
  }
  pause = Math.min(60_000, Math.max(1500, (performance.now() - began) * 10));
}
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && stale) update();
});
if (main) {
  main.prepend(pill, said);
  pillButton.addEventListener("click", update);
  const all = [...new Set([...kinds, "monitoring"])];
  watch(all, (entry) => {
    if (entry.kind === "monitoring") monitoring(entry.body);
    if (!kinds.includes(entry.kind)) return;
    main.dispatchEvent(new CustomEvent("live", { detail: entry }));
    if (!waits) {
      timer ??= setTimeout(update, pause);
      return;
    }
    fresh += 1;
    pill.hidden = false;
    pillButton.textContent = `${fresh} new or changed: show`;
    timer ??= setTimeout(() => {
      timer = undefined;
      said.textContent = `${fresh} new or changed.`;
    }, 5000);
  }, update);
}

/** @param {any} body */
function monitoring(body) {
  const box = document.getElementById("monitoring");
  if (box) box.textContent = body?.off || body?.until ? "Monitoring is off" : "";
}

// The keyboard: j and k walk along rows, Enter opens, x marks, ? tells.
/** @type {HTMLElement | null} */
let row = null;
/** @param {number} by */
function walk(by) {
  const rows = [...document.querySelectorAll("main tbody tr[data-id]")].filter((one) => one instanceof HTMLElement);
  if (rows.length === 0) return;
  const at = row ? rows.indexOf(row) : -1;
  row?.removeAttribute("aria-selected");
  row = rows[Math.max(0, Math.min(rows.length - 1, at + by))] ?? null;
  row?.setAttribute("aria-selected", "true");
  row?.scrollIntoView({ block: "nearest" });
  const first = row?.querySelector("a");
  if (first instanceof HTMLElement) first.focus({ preventScroll: true });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target instanceof Element && event.target.matches("input:not([type=checkbox]), textarea, select")) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "j") walk(1);
  else if (event.key === "k") walk(-1);
  else if (event.key === "x") row?.querySelector("input[type=checkbox]")?.dispatchEvent(new MouseEvent("click"));
  else if (event.key === "/") {
    const search = document.querySelector("input[type=search]");
    if (search instanceof HTMLElement) {
      event.preventDefault();
      search.focus();
    }
  } else if (event.key === "?") toast("j, k: next and previous row; Enter: open; x: mark; /: search; on a page: the letters on its buttons.");
  else {
    const button = document.querySelector(`main [data-key="${CSS.escape(event.key)}"]`);
    if (button instanceof HTMLElement) {
      event.preventDefault();
      button.click();
    }
  }
});
