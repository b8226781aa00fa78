// A run of the attack lab: while it goes on its parts are fetched again.
import { refresh } from "./part.js";

const EVERY = 1500;
let going = document.querySelector("[data-running]") !== null;

async function look() {
  if (!going) return;
  if (!document.hidden) {
    try {
      await refresh();
    } catch {
      // The next time tries again.
    }
    going = document.querySelector("[data-running]") !== null;
  }
  setTimeout(look, EVERY);
}
setTimeout(look, EVERY);
