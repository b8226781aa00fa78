// A period is marked in a chart by dragging; it becomes the page's filter.
for (const figure of document.querySelectorAll("figure[data-brush]")) watchFigure(figure);
document.addEventListener("part", (event) => {
  if (event.target instanceof Element) for (const figure of event.target.querySelectorAll("figure[data-brush]")) watchFigure(figure);
});

/** @param {Element} figure */
function watchFigure(figure) {
  const picture = figure.querySelector(".picture");
  if (!(figure instanceof HTMLElement) || !(picture instanceof HTMLElement)) return;
  const { from, step, pieces, left, width } = figure.dataset;
  const [start, long, count, axis, full] = [from, step, pieces, left, width].map(Number);
  if (start === undefined || long === undefined || count === undefined || axis === undefined || full === undefined) return;
  /** @param {number} x */
  const piece = (x) => {
    const box = picture.getBoundingClientRect();
    const scale = box.width / full;
    const part = (x - box.left - axis * scale) / ((full - axis - 8) * scale);
    return Math.max(0, Math.min(count, part * count));
  };
  const band = document.createElement("div");
  band.className = "brush";
  band.hidden = true;
  picture.append(band);
  let began = -1;
  picture.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    began = event.clientX;
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointermove", (event) => {
    if (began < 0) return;
    const box = picture.getBoundingClientRect();
    const [a, b] = [Math.min(began, event.clientX) - box.left, Math.max(began, event.clientX) - box.left];
    band.hidden = b - a < 4;
    band.style.left = `${Math.max(0, a)}px`;
    band.style.width = `${Math.min(b, box.width) - Math.max(0, a)}px`;
  });
  picture.addEventListener("pointerup", (event) => {
    if (began < 0) return;
    const [a, b] = [piece(Math.min(began, event.clientX)), piece(Math.max(began, event.clientX))];
    const moved = Math.abs(event.clientX - began);
    began = -1;
    band.hidden = true;
    if (moved < 4) return;
    const there = new URL(location.href);
    there.searchParams.delete("range");
    there.searchParams.set("from", String(Math.round((start + Math.floor(a) * long) * 1000)));
    there.searchParams.set("to", String(Math.round((start + Math.ceil(b) * long) * 1000)));
    location.assign(there);
  });
  picture.addEventListener("pointercancel", () => {
    began = -1;
    band.hidden = true;
  });
}
