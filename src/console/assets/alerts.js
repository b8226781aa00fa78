// The alert queue: marks, and the letters that act on the row one stands on.
const form = document.querySelector("form.bulk");

/** @returns {HTMLInputElement[]} */
function boxes() {
  return [...document.querySelectorAll("form.bulk tbody input[type=checkbox]")].filter((one) => one instanceof HTMLInputElement);
}

function tell() {
  const said = document.querySelector("[data-marked]");
  const number = boxes().filter((one) => one.checked).length;
  if (said) said.textContent = number === 0 ? "With those marked:" : `With the ${number} marked:`;
}

if (form instanceof HTMLFormElement) {
  form.addEventListener("change", tell);
  document.addEventListener("part", tell);
  // What a browser kept checked from before.
  addEventListener("pageshow", tell);
  const all = form.querySelector("[data-mark-all]");
  if (all instanceof HTMLButtonElement) {
    all.hidden = false;
    all.addEventListener("click", () => {
      const each = boxes();
      const mark = each.some((one) => !one.checked);
      for (const one of each) one.checked = mark;
      tell();
    });
  }
  // A letter without marks is about the row one stands on.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !["a", "e", "m"].includes(event.key)) return;
    if (event.target instanceof Element && event.target.matches("input:not([type=checkbox]), textarea, select")) return;
    if (boxes().some((one) => one.checked)) return;
    const box = document.querySelector("form.bulk tr[aria-selected=true] input[type=checkbox]");
    if (box instanceof HTMLInputElement) {
      box.checked = true;
      tell();
    } else if (event.key !== "e") {
      // Nothing is marked, so there is nothing to change.
      event.stopImmediatePropagation();
      event.preventDefault();
    }
  }, true);
  const assignee = form.elements.namedItem("change.assignee");
  form.addEventListener("submit", (event) => {
    // Enter in a field presses the button that assigns, whatever the field is for.
    const nobody = event.submitter?.matches("[data-assign]") && assignee instanceof HTMLInputElement && assignee.value.trim() === "";
    if (boxes().some((one) => one.checked) && !nobody) return;
    event.preventDefault();
    event.stopPropagation();
    const said = document.querySelector("[data-marked]");
    if (said) said.textContent = nobody ? "Write to whom, or press what is to be done." : "Mark some alerts first (x marks the row you stand on).";
  });
}
