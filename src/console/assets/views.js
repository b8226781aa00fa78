// Views of one's own: filters under a name, kept in this browser.

/** @typedef {{ name: string, query: string }} View */

const MOST = 30;
const box = document.querySelector("[data-views]");
if (box instanceof HTMLElement) {
  const key = `views.${box.dataset.views}`;
  const path = box.dataset.path ?? location.pathname;
  const own = document.createElement("span");
  own.className = "own";
  const save = document.createElement("button");
  save.type = "button";
  save.textContent = "Save this view";
  box.append(" ", own, " ", save);

  /** @returns {View[]} */
  const read = () => {
    try {
      const kept = JSON.parse(localStorage.getItem(key) ?? "[]");
      return Array.isArray(kept) ? kept.filter((one) => typeof one?.name === "string" && typeof one?.query === "string") : [];
    } catch {
      return [];
    }
  };
  /** @param {View[]} views */
  const write = (views) => {
    try {
      localStorage.setItem(key, JSON.stringify(views.slice(0, MOST)));
    } catch {
      // Not kept in this browser.
    }
    show();
  };
  const show = () => {
    own.replaceChildren();
    for (const view of read()) {
      const link = document.createElement("a");
      link.href = view.query ? `${path}?${view.query}` : path;
      link.textContent = view.name;
      const forget = document.createElement("button");
      forget.type = "button";
      forget.className = "forget";
      forget.textContent = "×";
      forget.setAttribute("aria-label", `Forget the view ${view.name}`);
      forget.addEventListener("click", () => write(read().filter((one) => one.name !== view.name)));
      own.append(link, forget, " ");
    }
  };
  save.addEventListener("click", () => {
    const dialog = document.createElement("dialog");
    const form = document.createElement("form");
    form.method = "dialog";
    form.className = "stack";
    const label = document.createElement("label");
    label.textContent = "Name of this view";
    const input = document.createElement("input");
    input.maxLength = 40;
    input.required = true;
    label.append(input);
    const button = document.createElement("button");
    button.className = "main";
    button.value = "yes";
    button.textContent = "Save";
    form.append(label, button);
    dialog.append(form);
    document.body.append(dialog);
    dialog.addEventListener("close", () => {
      const name = input.value.trim();
      if (dialog.returnValue === "yes" && name) {
        const query = new URLSearchParams(location.search);
        query.delete("before");
        write([...read().filter((one) => one.name !== name), { name, query: query.toString() }]);
      }
      dialog.remove();
    });
    dialog.showModal();
  });
  show();
}
