// Pages outside of the frame: follows a link that only exists because of where the visitor came from.
/** @type {HTMLAnchorElement | null} */
const follow = document.querySelector("a[data-follow]");
if (follow) location.replace(follow.href);
