// Words of a request, shown in place: the server renders them, this puts them below the form that asked.

/**
 * @param {HTMLFormElement} form
 * @returns {Promise<Document>}
 */
function sent(form) {
  return new Promise((resolve, reject) => {
    /** @type {[string, string][]} */
    const pairs = [];
    for (const [name, value] of new FormData(form)) if (typeof value === "string") pairs.push([name, value]);
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.responseType = "document";
    request.timeout = 20_000;
    request.setRequestHeader("content-type", "application/x-www-form-urlencoded");
    request.onload = () => (request.responseXML ? resolve(request.responseXML) : reject(new Error("no page")));
    request.onerror = request.ontimeout = () => reject(new Error("the gateway does not answer"));
    request.send(new URLSearchParams(pairs).toString());
  });
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.dataset.reveal === undefined || event.defaultPrevented) return;
  event.preventDefault();
  const place = form.parentElement?.querySelector("[data-revealed]");
  if (!(place instanceof HTMLElement)) return;
  try {
    const found = await sent(form);
    // Without the texts there is a notice that says why.
    const part = found.querySelector("[data-texts]") ?? found.querySelector(".notice");
    if (part) place.replaceChildren(document.importNode(part, true));
    else location.assign("/console/login");
  } catch (error) {
    place.textContent = `This did not work: ${error instanceof Error ? error.message : "unknown"}.`;
  }
  delete form.dataset.sent;
});
