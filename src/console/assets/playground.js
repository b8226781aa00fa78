// The playground: what a model says as it comes, what the record says of it, and the conversation kept in this browser.
import { ApiError, send } from "./api.js";
import { toast } from "./toast.js";

/**
 * @typedef {object} Tried
 * @property {string} request
 * @property {string} outcome
 * @property {string} decision
 * @property {string} judged
 * @property {string} [reason]
 * @property {string[]} rules
 * @property {string} [policy]
 * @property {number} [input_tokens]
 * @property {number} [output_tokens]
 * @property {number} [nano_usd]
 * @property {number} total_micros
 * @property {number} scan_micros
 */
/**
 * @typedef {object} Message
 * @property {"system" | "user" | "assistant"} role
 * @property {string} content
 * @property {string} [model]
 * @property {boolean} [compared]
 * @property {boolean} [stopped]
 * @property {{status: number, code: string, message: string}} [refused]
 * @property {string} [broken]
 * @property {Tried} [record]
 */

/** The most that is kept, and sent: the oldest messages go. */
const KEPT = 100;
const SENT = 48_000;

const found = document.getElementById("ask");
const chat = document.getElementById("chat");
if (found instanceof HTMLFormElement && chat) play(found, chat);

/** @param {HTMLFormElement} form @param {HTMLElement} log */
function play(form, log) {
  const key = `portcullis.playground.${form.dataset.account ?? ""}`;
  const ready = load(key);
  /** @type {Message[]} */
  let said = ready;
  /** @type {AbortController | undefined} */
  let going;
  // How often it was cleared.
  let cleared = 0;
  const stop = button("stop");
  const again = button("again");
  const clear = button("clear");
  const exports = [button("to-json"), button("to-markdown")];

  /** @param {string} name */
  const field = (name) => {
    const one = form.elements.namedItem(name);
    return one instanceof HTMLInputElement || one instanceof HTMLTextAreaElement || one instanceof HTMLSelectElement ? one.value : "";
  };
  const compares = () => {
    const one = form.elements.namedItem("compare");
    return one instanceof HTMLInputElement && one.checked;
  };

  function offer() {
    stop.hidden = !going;
    again.hidden = going !== undefined || said.length === 0;
    clear.hidden = said.length === 0;
    for (const one of exports) one.hidden = said.length === 0;
  }

  function keep() {
    said = said.slice(-KEPT);
    try {
      localStorage.setItem(key, JSON.stringify(said));
    } catch {
      // It is kept as long as this page is open.
    }
    offer();
  }

  /** @param {boolean} monitor */
  function conversation(monitor) {
    /** @type {{role: string, content: string}[]} */
    const messages = [];
    let size = 0;
    for (const one of [...said].reverse()) {
      if (one.compared || one.content === "") continue;
      size += one.content.length;
      if (size > SENT && messages.length > 0) break;
      // What was refused did not become part of the conversation: it is asked alone, as the last message, or not at all.
      messages.unshift({ role: one.role, content: one.content });
    }
    while (messages[0]?.role === "assistant") messages.shift();
    const system = field("system").trim();
    if (system) messages.unshift({ role: "system", content: system });
    return { model: field("model").trim(), messages, policy: field("policy") || undefined, monitor, stream: true };
  }

  /** @param {boolean} compared */
  async function answer(compared) {
    const body = conversation(compared);
    /** @type {Message} */
    const message = { role: "assistant", content: "", model: body.model, compared };
    const shown = draw(message);
    const began = cleared;
    log.append(shown.box);
    const mine = new AbortController();
    going = mine;
    offer();
    try {
      const reply = await send("POST", "/api/v1/playground", body, mine.signal);
      await events(reply, (name, data) => {
        if (name === "text") message.content += String(data.text ?? "");
        else if (name === "refused") message.refused = data;
        else if (name === "broken") message.broken = String(data.message ?? "");
        else if (name === "ended") message.record = data;
        shown.fill();
      });
    } catch (error) {
      if (mine.signal.aborted) message.stopped = true;
      else message.broken = error instanceof ApiError || error instanceof Error ? error.message : "The gateway does not answer.";
    }
    going = undefined;
    // Cleared meanwhile: it is not kept either.
    if (began !== cleared) return;
    shown.fill();
    shown.box.scrollIntoView({ block: "nearest" });
    said.push(message);
    keep();
  }

  async function ask() {
    await answer(false);
    if (compares() && !said.at(-1)?.stopped) await answer(true);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    event.stopPropagation();
    if (going) return;
    const prompt = field("prompt").trim();
    if (!prompt) return;
    // After a refusal the same conversation would be refused again: what was refused is left out of what is sent.
    const last = said.at(-1);
    if (last?.role === "assistant" && last.refused && !last.content) drop();
    /** @type {Message} */
    const message = { role: "user", content: prompt };
    said.push(message);
    log.append(draw(message).box);
    const box = form.elements.namedItem("prompt");
    if (box instanceof HTMLTextAreaElement) box.value = "";
    void ask();
  });

  /** What was refused stays to be seen, and is not sent again. */
  function drop() {
    for (let at = said.length - 1; at >= 0; at -= 1) {
      const one = said[at];
      if (!one) break;
      one.compared = true;
      if (one.role === "user") break;
    }
  }

  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  stop.addEventListener("click", () => going?.abort());
  again.addEventListener("click", () => {
    if (going) return;
    while (said.at(-1)?.role === "assistant") said.pop();
    const asked = said.at(-1);
    if (!asked) return;
    asked.compared = false;
    show();
    void ask();
  });
  clear.addEventListener("click", () => {
    cleared += 1;
    going?.abort();
    said = [];
    keep();
    show();
    toast("The conversation is cleared from this browser.");
  });
  exports[0]?.addEventListener("click", () => save("playground.json", "application/json", JSON.stringify(said, null, 2)));
  exports[1]?.addEventListener("click", () => save("playground.md", "text/markdown", markdown(said)));

  function show() {
    log.replaceChildren(...said.map((one) => draw(one).box));
    offer();
  }
  if (log.childElementCount === 0) show();
  else offer();
}

/** @param {string} id */
function button(id) {
  const one = document.getElementById(id);
  return one instanceof HTMLButtonElement ? one : document.createElement("button");
}

/** @param {string} key @returns {Message[]} */
function load(key) {
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one) => typeof one?.content === "string" && typeof one?.role === "string") : [];
  } catch {
    return [];
  }
}

/**
 * Events of a stream, each with its name and its JSON.
 * @param {Response} reply
 * @param {(name: string, data: any) => void} each
 */
async function events(reply, each) {
  const reader = reply.body?.getReader();
  if (!reader) return;
  const decoder = new TextDecoder();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    waiting += decoder.decode(value, { stream: true });
    for (let end = waiting.indexOf("\n\n"); end >= 0; end = waiting.indexOf("\n\n")) {
      const lines = waiting.slice(0, end).split("\n");
      waiting = waiting.slice(end + 2);
      const name = lines.find((line) => line.startsWith("event: "))?.slice(7) ?? "";
      const data = lines.find((line) => line.startsWith("data: "))?.slice(6) ?? "{}";
      each(name, JSON.parse(data));
    }
  }
}

/** What would not be seen is made visible. @param {string} text */
function visible(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Co}]/gu, (letter) => (letter === "\n" || letter === "\t" ? letter : `\\u{${(letter.codePointAt(0) ?? 0).toString(16)}}`));
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {string} kind
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[K]}
 */
function element(name, kind, text) {
  const one = document.createElement(name);
  if (kind) one.className = kind;
  if (text !== undefined) one.textContent = text;
  return one;
}

/** @param {Message} message */
function draw(message) {
  const box = element("article", `message ${message.role}`);
  const who = message.role === "user" ? "You" : message.compared && message.role === "assistant" ? `${message.model ?? "Model"}, consequences off` : (message.model ?? "Model");
  const words = element("div", "words");
  const foot = element("p", "verdict");
  box.append(element("h2", "", who), words, foot);
  function fill() {
    words.textContent = visible(message.content);
    foot.replaceChildren();
    if (message.refused) {
      const told = element("div", "notice bad");
      told.append(element("p", "", visible(message.refused.message)), element("p", "quiet", `${message.refused.code} ${message.refused.status}`));
      words.append(told);
    }
    if (message.broken) words.append(element("div", "notice unsure", visible(message.broken)));
    if (message.stopped) words.append(element("div", "notice", "Stopped: the request was cancelled, and what was under way upstream."));
    if (message.record) tell(foot, message.record);
  }
  fill();
  return { box, fill };
}

/** @param {HTMLElement} foot @param {Tried} record */
function tell(foot, record) {
  if (!record.request) return;
  /** @type {Record<string, string>} */
  const signs = { allow: "✓ ", flag: "■ ", redact: "▲ ", block: "◆ " };
  if (record.decision) foot.append(element("span", `badge st ${record.decision}`, `${signs[record.decision] ?? ""}${record.decision}`));
  else foot.append("The record is not written yet.");
  if (record.judged && record.judged !== record.decision) foot.append(element("span", "quiet", ` (would have been ${record.judged})`));
  const link = element("a", "", "Request");
  link.href = `/console/requests/${encodeURIComponent(record.request)}`;
  foot.append(" ", link);
  if (record.input_tokens !== undefined && record.output_tokens !== undefined) foot.append(` · ${record.input_tokens} + ${record.output_tokens} tokens`);
  if (record.nano_usd !== undefined) foot.append(` · $${(record.nano_usd / 1e9).toFixed(6)}`);
  foot.append(` · ${(record.total_micros / 1000).toFixed(1)} ms, inspection ${(record.scan_micros / 1000).toFixed(1)} ms`);
  if (record.policy) foot.append(` · policy ${visible(record.policy)}`);
  for (const rule of record.rules ?? []) {
    const one = element("a", "badge", rule);
    one.href = `/console/rules/${encodeURIComponent(rule)}`;
    foot.append(" ", one);
  }
}

/** @param {Message[]} all */
function markdown(all) {
  return all
    .map((one) => {
      const who = one.role === "user" ? "You" : (one.model ?? "Model");
      const refused = one.refused ? `\n\n> Refused: ${one.refused.message} (${one.refused.code})` : "";
      const record = one.record?.request ? `\n\n_${one.record.decision}, request ${one.record.request}_` : "";
      return `## ${who}\n\n${one.content}${refused}${record}\n`;
    })
    .join("\n");
}

/** @param {string} name @param {string} kind @param {string} text */
function save(name, kind, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
