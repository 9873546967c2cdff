// Runs in the page before its own scripts: records what is shown, from the first HTML on.
const textOf = (element) => element?.textContent.trim();

/** Returns what a document tells its reader. */
function tell(document) {
  const plan = textOf(document.querySelector(".plan"));
  const links = [...document.querySelectorAll("header nav a")].map(textOf);
  const heading = textOf(document.querySelector("h1"));
  return { heading, ...(plan && { plan }), ...(links.length > 0 && { links }) };
}

window.tellHtml = (html) => tell(new DOMParser().parseFromString(html, "text/html"));
window.shown = [];

function look() {
  // While the document arrives, it is incomplete.
  if (document.readyState === "loading") return;
  const told = tell(document);
  if (JSON.stringify(told) !== JSON.stringify(window.shown.at(-1))) window.shown.push(told);
}
document.addEventListener("readystatechange", look);
new MutationObserver(look).observe(document, { childList: true, subtree: true, characterData: true });
