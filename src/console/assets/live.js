// The live feed: one WebSocket that goes on where it was; what it says is told to the page as events.

/** @typedef {{ seq: number, time: number, kind: string, id: string, body: any }} Entry */

const link = document.getElementById("link");

/** @param {"live" | "away"} state @param {string} words */
function show(state, words) {
  if (!link) return;
  link.dataset.state = state;
  link.textContent = words;
}

/**
 * Watches these kinds of the feed until the page goes.
 * @param {string[]} kinds
 * @param {(entry: Entry) => void} tell
 * @param {() => void} poll what to do now and then while there is no socket
 */
export function watch(kinds, tell, poll) {
  let since = -1;
  let wait = 1000;
  let missed = 0;
  let refused = 0;
  const open = () => {
    const address = new URL("/api/v1/live", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.searchParams.set("kinds", kinds.join(","));
    if (since >= 0) address.searchParams.set("since", String(since));
    const socket = new WebSocket(address);
    socket.onopen = () => {
      wait = 1000;
      refused = -1;
      if (missed > 0) poll();
      missed = 0;
      show("live", "live");
    };
    socket.onmessage = (message) => {
      /** @type {Entry} */
      const entry = JSON.parse(message.data);
      if (typeof entry.seq !== "number") return;
      since = Math.max(since, entry.seq);
      tell(entry);
    };
    socket.onclose = () => {
      missed += 1;
      // Nobody is let in who never was: switched off, or not for this role.
      if (refused >= 0 && (refused += 1) > 5) return;
      show("away", "not live");
      setTimeout(open, wait * (0.75 + Math.random() / 2));
      wait = Math.min(wait * 2, 30_000);
      if (missed % 3 === 0) poll();
    };
  };
  open();
}
