// Calls of the admin API from a page: the session's cookie goes along, its CSRF token says that a page of ours asks.

/** What the API answered instead. */
export class ApiError extends Error {
  /** @param {number} status @param {string} code @param {string} message */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** @returns {string} */
export function csrf() {
  const meta = document.querySelector("meta[name=csrf]");
  return meta instanceof HTMLMetaElement ? meta.content : "";
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
export async function send(method, path, body, signal) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (method !== "GET") headers["x-portcullis-csrf"] = csrf();
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
  if (answer.status === 401) location.assign(`/console/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new ApiError(answer.status, said?.error?.code ?? "unknown", said?.error?.message ?? `The gateway answered ${answer.status}.`);
  }
  return answer;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function ask(method, path, body) {
  const answer = await send(method, path, body);
  return answer.status === 204 ? null : answer.json();
}
