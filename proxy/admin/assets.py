"""The page's style and script, and the Content-Security-Policy that lets these two run and nothing else."""

import hashlib
from base64 import b64encode

STYLE = """
:root {
  color-scheme: light dark;
  --back: #f4f5f7; --card: #ffffff; --line: #dfe3e8; --ink: #17202c; --soft: #566171;
  --good: #0b6b43; --wait: #8a5200; --bad: #b3261e; --calm: #3453b8;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #0f141b; --card: #171d26; --line: #2b3441; --ink: #e8ecf1; --soft: #9aa7b7;
    --good: #4fd08f; --wait: #f0b24b; --bad: #ff8a80; --calm: #93adff;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.5 var(--sans); --accent: var(--wait); }
body[data-state=ready] { --accent: var(--good); }
body[data-state=refused] { --accent: var(--bad); }
body[data-state=draining] { --accent: var(--calm); }
header, main { max-width: 46rem; margin: 0 auto; padding: 0 1.25rem; }
header {
  display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: .25rem 1.5rem;
  padding-top: 1.75rem;
}
header p { margin: 0 0 .75rem; color: var(--soft); font-size: .875rem; }
header strong { color: var(--ink); font-size: 1rem; }
main { padding-bottom: 3rem; }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.25rem 1.5rem;
  margin-bottom: 1rem;
}
h1, h2, p, dl, dd, ol { margin: 0; }
h2 { font-size: .9375rem; font-weight: 650; margin-bottom: .75rem; }
code { font-family: var(--mono); font-size: .875em; overflow-wrap: anywhere; }
.soft { color: var(--soft); }

.now {
  padding-top: 1.625rem;
  background: var(--card) linear-gradient(var(--accent), var(--accent)) top / 100% 4px no-repeat;
}
.now h1 { font-size: 2rem; line-height: 1.2; font-weight: 700; letter-spacing: -.015em; color: var(--accent); }
.now h1::before {
  content: ""; display: inline-block; width: .5em; height: .5em; margin-right: .4em; border-radius: 50%;
  background: currentColor; vertical-align: .12em;
}
.now h1 + p { margin-top: .375rem; max-width: 38rem; text-wrap: pretty; }
.clock { margin-top: 1.25rem; }
.clock strong { font-size: 1.5rem; font-weight: 650; line-height: 1.3; }
.clock span { color: var(--soft); margin-left: .25rem; }
[data-seconds], dd, td { font-variant-numeric: tabular-nums; }
progress {
  appearance: none; display: block; width: 100%; height: 6px; margin-top: .625rem; border: 0; border-radius: 3px;
  background: var(--line); overflow: hidden; color: var(--accent);
}
progress::-webkit-progress-bar { background: var(--line); }
progress::-webkit-progress-value { background: var(--accent); border-radius: 3px; }
progress::-moz-progress-bar { background: var(--accent); border-radius: 3px; }

.alarm { --tone: var(--bad); border-color: var(--tone); }
.alarm[data-code=token_unavailable] { --tone: var(--wait); }
.alarm h2 { color: var(--tone); margin-bottom: .25rem; }
#silent:not([hidden]) ~ section { opacity: .7; }
#silent:not([hidden]) ~ .now { --accent: var(--soft); }
.alarm p + p { margin-top: .5rem; font-size: .875rem; }

.facts { display: grid; grid-template-columns: 9.5rem 1fr; gap: .5rem 1rem; }
.facts dt { color: var(--soft); }
.facts dd { min-width: 0; overflow-wrap: anywhere; }
.facts dd span { white-space: nowrap; }
.facts .soft { margin-left: .25rem; }
.tiles {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(5.5rem, 1fr)); gap: 1px; margin-bottom: 1rem;
  background: var(--line); border: 1px solid var(--line); border-radius: 8px; overflow: hidden;
}
.tiles div { background: var(--card); padding: .625rem .75rem; display: flex; flex-direction: column-reverse; }
.tiles dt { color: var(--soft); font-size: .8125rem; }
.tiles dd { font-size: 1.25rem; font-weight: 650; }
.route { margin-top: 1.25rem; padding-top: 1rem; border-top: 1px solid var(--line); }
.lines { list-style: none; padding: 0; }
.lines li + li { margin-top: .75rem; }
.lines p { color: var(--soft); font-size: .875rem; margin-bottom: .25rem; }
pre {
  margin: 0; padding: .5rem .75rem; background: var(--back); border: 1px solid var(--line); border-radius: 6px;
  white-space: pre-wrap;
}

@media (max-width: 34rem) {
  header, main { padding-left: .75rem; padding-right: .75rem; }
  section { padding: 1rem; }
  .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: .625rem; }
  .facts .soft { margin-left: 0; }
  .tiles { grid-template-columns: repeat(2, 1fr); }
  .tiles div:first-child { grid-column: 1 / -1; }
}
"""

# The page is rendered in one place, the server: the script fetches it anew and takes over what changed, element by
# element, so that a selection, the scroll position and what a screen reader announces stay as they are.
SCRIPT = """
"use strict";
(() => {
  let taken = performance.now();
  let answered = new Date();

  const spell = (seconds) => {
    const whole = Math.max(0, Math.floor(seconds));
    const parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"],
                   [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
    while (parts.length > 1 && parts[0][0] === 0) parts.shift();
    return parts.slice(0, 2).map((part) => part.join(" ")).join(" ");
  };

  const silent = document.getElementById("silent");

  const tick = () => {
    if (!silent.hidden) return;
    const passed = (performance.now() - taken) / 1000;
    for (const element of document.querySelectorAll("[data-seconds]")) {
      const seconds = Number(element.dataset.seconds) + (element.dataset.way === "up" ? passed : -passed);
      if (element.tagName === "PROGRESS") element.value = Math.max(0, seconds);
      else element.textContent = spell(seconds);
    }
  };

  const take = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const theirs of fresh.querySelectorAll("[id]")) {
      const ours = document.getElementById(theirs.id);
      if (!ours) return location.reload();
      for (const {name} of [...ours.attributes]) if (!theirs.hasAttribute(name)) ours.removeAttribute(name);
      for (const {name, value} of theirs.attributes) {
        if (ours.getAttribute(name) !== value) ours.setAttribute(name, value);
      }
      if (!theirs.children.length && ours.textContent !== theirs.textContent && !theirs.dataset.seconds) {
        ours.textContent = theirs.textContent;
      }
    }
    taken = performance.now();
    tick();
  };

  const poll = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("/", {cache: "no-store", signal: AbortSignal.timeout(5000)});
      if (!answer.ok) throw new Error(String(answer.status));
      take(await answer.text());
      answered = new Date();
    } catch {
      silent.hidden = false;
      document.getElementById("since").textContent = answered.toLocaleTimeString();
      document.title = "No answer \\u00b7 okta-proxy";
    }
  };

  setInterval(tick, 1000);
  setInterval(poll, 3000);
  document.addEventListener("visibilitychange", poll);
})();
"""


def _source(text: str) -> str:
    """Return the CSP source that allows the inline *text* (Content Security Policy Level 3, 2.3.1)."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_source(STYLE)}",
        f"script-src {_source(SCRIPT)}",
        "connect-src 'self'",  # the page fetches itself anew
        "img-src data:",  # its icon
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
