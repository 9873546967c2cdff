/** The sign-in page's style. It loads nothing. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f3f4f8; --card: #fff; --text: #171923; --soft: #5b6275; --line: #dfe2ea; --hover: #f0f1fb;
  --accent: #4338ca; --on-accent: #fff; --alert: #a51d2d; --alert-back: #fdecee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101218; --card: #191c25; --text: #eceef5; --soft: #a3a9bb; --line: #2f3442; --hover: #242838;
    --accent: #a5a8ff; --on-accent: #14152b; --alert: #ffb3ba; --alert-back: #3d1a20;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; min-height: 100vh; padding: 2rem 1rem; display: grid; place-items: start center;
  background: var(--page); color: var(--text); font: 1rem/1.45 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
}
main {
  width: 100%; max-width: 27rem; margin-top: 5vh; background: var(--card); border: 1px solid var(--line); border-radius: 1rem;
  padding: 1.75rem; box-shadow: 0 1px 2px rgb(0 0 0 / .06), 0 12px 32px rgb(0 0 0 / .08);
}
h1 { font-size: 1.4rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: .8rem; font-weight: 600; color: var(--soft); margin: 1.1rem 0 .35rem; }
p { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
a { color: var(--accent); }
.badge {
  display: inline-block; margin-bottom: .9rem; padding: .15rem .6rem; border-radius: 99px; border: 1px solid var(--line);
  font-size: .78rem; color: var(--soft);
}
.alert { margin: 1rem 0 0; padding: .65rem .8rem; border-radius: .6rem; color: var(--alert); background: var(--alert-back); }
label { display: block; font-size: .85rem; font-weight: 600; margin: .8rem 0 .25rem; }
input {
  width: 100%; font: inherit; color: inherit; background: transparent; border: 1px solid var(--soft); border-radius: .6rem;
  padding: .6rem .75rem;
}
input:read-only { background: var(--hover); border-color: var(--line); }
::placeholder { color: var(--soft); opacity: 1; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 .75rem; }
ul { list-style: none; margin: 0; padding: 0; }
li + li { margin-top: .15rem; }
.user {
  width: 100%; display: grid; grid-template-columns: auto 1fr auto; gap: .75rem; align-items: center; text-align: left;
  font: inherit; color: inherit; background: none; border: 0; border-radius: .6rem; padding: .45rem .5rem; cursor: pointer;
}
.user:hover, .user:focus-visible { background: var(--hover); }
.avatar {
  width: 2.25rem; height: 2.25rem; border-radius: 50%; display: grid; place-items: center; font-size: .8rem; font-weight: 600;
  color: #fff; background: #4f46e5;
}
.hue-1 { background: #0369a1; } .hue-2 { background: #047857; } .hue-3 { background: #a16207; }
.hue-4 { background: #b91c1c; } .hue-5 { background: #be185d; } .hue-6 { background: #7e22ce; } .hue-7 { background: #475569; }
.who { min-width: 0; }
.name, .mail { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.name { font-weight: 600; }
.mail, .tag { font-size: .85rem; color: var(--soft); }
.tag.suspended { color: var(--alert); }
.primary {
  width: 100%; margin-top: 1.1rem; font: inherit; font-weight: 600; color: var(--on-accent); background: var(--accent); border: 0;
  border-radius: .6rem; padding: .65rem; cursor: pointer;
}
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.status { font-size: .85rem; margin-top: .6rem; }
nav { display: flex; justify-content: space-between; gap: 1rem; margin-top: 1.25rem; padding-top: 1rem; border-top: 1px solid var(--line); }
[hidden] { display: none; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
kbd { font: inherit; font-size: .8rem; border: 1px solid var(--line); border-radius: .3rem; padding: 0 .3rem; }
`;

/** Filters the list while typing, and moves through it with the arrow keys. The page works without it. */
export const SCRIPT = `
const search = document.querySelector("input[type=search]");
const users = [...document.querySelectorAll(".user")];
const hint = document.querySelector("[data-hint]");
const shown = () => users.filter((user) => !user.closest("li").hidden);
search?.addEventListener("input", () => {
  const wanted = search.value.trim().toLowerCase();
  for (const user of users) user.closest("li").hidden = !user.textContent.toLowerCase().includes(wanted);
  for (const group of document.querySelectorAll("[data-group]")) group.hidden = !group.querySelector("li:not([hidden])");
  if (hint) hint.hidden = false;
});
document.addEventListener("keydown", (event) => {
  const at = document.activeElement;
  if (event.key === "/" && search && at !== search && at?.tagName !== "INPUT") {
    event.preventDefault();
    search.focus();
    search.select();
    return;
  }
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const stops = [search, ...shown()].filter(Boolean);
  const index = stops.indexOf(at);
  if (index < 0) return;
  event.preventDefault();
  stops[Math.min(Math.max(index + (event.key === "ArrowDown" ? 1 : -1), 0), stops.length - 1)].focus();
});
`;
