// What of somebody's words this browser keeps, and does not keep when they are gone: conversations of the playground.

export function forget() {
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith("portcullis.playground.")) localStorage.removeItem(key);
  } catch {
    // Nothing is kept in this browser.
  }
}
