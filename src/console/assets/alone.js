// Pages outside of the frame: follows a link that only exists because of where the visitor came from.
import { forget } from "./forget.js";

// Whoever has to sign in was signed out, here or elsewhere, or their session ended.
if (document.querySelector('form[action="/console/login"]')) forget();

/** @type {HTMLAnchorElement | null} */
const follow = document.querySelector("a[data-follow]");
if (follow) location.replace(follow.href);
