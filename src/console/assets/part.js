// Parts of a page are rendered by the server alone: this fetches the page again and puts its parts in place of the old ones.

/**
 * A page as a document. Nothing in it runs: it has no browsing context.
 * @param {string} address
 * @param {boolean} [watching] whether nobody asked for it: then it does not keep the session alive
 * @returns {Promise<Document>}
 */
export function page(address, watching = false) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.responseType = "document";
    request.timeout = 20_000;
    if (watching) request.setRequestHeader("x-portcullis-watching", "1");
    request.onload = () => {
      const found = request.responseXML;
      if (request.status === 200 && found && new URL(request.responseURL).pathname === new URL(address, location.href).pathname) resolve(found);
      else reject(new Error(`status ${request.status}`));
    };
    request.onerror = request.ontimeout = () => reject(new Error("the gateway does not answer"));
    request.send();
  });
}

/**
 * Puts the parts of that name (all of them without one) as they are now in place, unless somebody is typing in one.
 * @param {string} [name]
 */
export async function refresh(name) {
  const now = await page(location.href, true);
  for (const old of document.querySelectorAll("[data-part]")) {
    if (!(old instanceof HTMLElement) || (name && old.dataset.part !== name)) continue;
    const fresh = now.querySelector(`[data-part="${CSS.escape(old.dataset.part ?? "")}"]`);
    if (!fresh || busy(old) || old.isEqualNode(fresh)) continue;
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    const known = new Set([...old.querySelectorAll("[data-id]")].map((one) => one.getAttribute("data-id")));
    const put = document.importNode(fresh, true);
    put.querySelectorAll("details").forEach((one, at) => (one.open = open[at] ?? one.open));
    if (known.size > 0) {
      for (const row of put.querySelectorAll("[data-id]")) if (!known.has(row.getAttribute("data-id"))) row.classList.add("fresh");
    }
    old.replaceWith(put);
    put.dispatchEvent(new CustomEvent("part", { bubbles: true }));
  }
}

/**
 * Whether somebody works in it.
 * @param {HTMLElement} part
 */
function busy(part) {
  const focused = document.activeElement;
  const typing = focused && part.contains(focused) && focused.matches("input:not([type=checkbox]), textarea, select");
  return typing || part.querySelector("input[type=checkbox]:checked, dialog[open]") !== null;
}
