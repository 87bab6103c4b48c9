"""How the page looks beyond what all reports share, and the little that its script does: everything is there without it."""

from typing import Final

STYLE: Final = """
.wide { overflow-x: auto; }
a { color: inherit; } code { overflow-wrap: anywhere; }
#matrix td:not(:first-child) { min-width: 5.5rem; } #matrix th:not(:first-child) { white-space: nowrap; }
.score { display: block; height: 4px; background: var(--line); }
.score i { display: block; height: 4px; background: currentColor; }
.column { color: var(--none); }
figure { margin: .8rem 0; } figcaption { font-weight: 600; }
.spread { fill: var(--good); opacity: .45; } .median { stroke: currentColor; stroke-width: 2; }
.run { stroke: currentColor; opacity: .5; } .host { stroke: var(--none); stroke-dasharray: 3 3; }
details.probe, details.pair { border-bottom: 1px solid var(--line); padding: .3rem 0; }
summary { cursor: pointer; } details.probe summary > span { display: inline-block; max-width: 100%; margin-right: .9rem; }
#closes td:first-child { min-width: 18rem; } #search { width: min(24rem, 100%); }
.pair td:nth-child(2) { white-space: nowrap; }
details.probe:target { background: #8881; }
"""
SCRIPT: Final = """
const one = (id) => document.getElementById(id);
const choose = () => {
  const pair = [one("left").value, one("right").value].map(Number).sort((a, b) => a - b).join(" ");
  for (const part of document.querySelectorAll(".pair")) {
    part.hidden = part.dataset.pair !== pair;
    part.open = !part.hidden;
  }
  one("same").hidden = one("left").value !== one("right").value;
};
if (one("choice")) {
  one("choice").hidden = false;
  one("left").onchange = one("right").onchange = choose;
  choose();
}
const probes = [...document.querySelectorAll(".probe")];
one("searching").hidden = false;
one("search").oninput = () => {
  const words = one("search").value.toLowerCase().split(/\\s+/);
  for (const probe of probes) {
    const text = probe.textContent.toLowerCase();
    probe.hidden = !words.every((word) => text.includes(word));
  }
};
const go = () => {
  const probe = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (probe && probe.matches(".probe")) { probe.hidden = false; probe.open = true; probe.scrollIntoView(); }
};
window.onhashchange = go;
go();
"""
