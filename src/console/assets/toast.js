// Words that come and go. A module of its own: whoever imported app.js for it would run the page's own module twice.

/** @param {string} words */
export function toast(words) {
  const box = document.getElementById("toasts");
  if (!box) return;
  const one = document.createElement("p");
  one.textContent = words;
  box.append(one);
  setTimeout(() => one.remove(), 6000);
}
