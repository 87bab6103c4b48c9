// A chart of percentages over time against thresholds, and sparklines. Gaps are when nobody looked.

import { make, percent, shape } from "./elements.js";

const WIDTH = 360, HEIGHT = 112, SPAN_SECONDS = 1800, SHORTEST_SECONDS = 60, GAP_SECONDS = 15;

// How long a time charts show, in seconds.
export const spanOf = (times, now) => Math.min(SPAN_SECONDS, Math.max(SHORTEST_SECONDS, now - (times[0] ?? now)));

export class Chart {
  // lines: [{name, series}]: names of the history's series.
  constructor(title, lines) {
    this.title = title;
    this.lines = lines;
    this.at = null;
    this.value = make("span", "value");
    this.under = make("div", "under");
    this.svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", tabindex: 0 });
    this.element = make("figure", "", make("figcaption", "", make("span", "", title), this.value), this.svg, this.under);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.look(null));
    this.svg.addEventListener("blur", () => this.look(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
  }

  update(history, limits, now, value, under) {
    Object.assign(this, { history, limits, now, text: value, below: under });
    const shown = this.lines.filter((line) => history.series[line.series]);
    this.element.hidden = shown.length === 0;
    if (shown.length) this.draw(shown);
  }

  draw(shown) {
    const { times } = this.history;
    const span = spanOf(times, this.now);
    this.from = this.now - span;
    const all = shown.flatMap((line) => this.history.series[line.series]).filter((each) => each !== null);
    const top = Math.max(this.limits.length ? 100 : 5, ...all) > 50 ? 100 : Math.ceil(Math.max(5, ...all) / 10) * 10;
    const x = (time) => ((time - this.from) / span) * WIDTH;
    const y = (each) => HEIGHT - (Math.min(each, top) / top) * HEIGHT;
    const parts = [0, 0.5, 1].map((part) => shape("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part }));
    shown.forEach((line) => {
      const group = shape("g", { class: `c${this.lines.indexOf(line)}` });
      for (const run of runs(times, this.history.series[line.series])) {
        const points = run.map(([time, each]) => `${x(time).toFixed(1)},${y(each).toFixed(1)}`);
        const last = x(run.at(-1)[0]).toFixed(1);
        if (shown.length === 1) group.append(shape("path", { class: "area", d: `M${x(run[0][0]).toFixed(1)},${HEIGHT} L${points.join(" L")} L${last},${HEIGHT}Z` }));
        group.append(shape("path", { class: "curve", d: `M${points.join(" L")}${run.length === 1 ? " h1" : ""}` }));
      }
      parts.push(group);
    });
    for (const limit of this.limits) {
      parts.push(shape("line", { class: limit.hard ? "limit" : "limit soft", x1: 0, x2: WIDTH, y1: y(limit.used), y2: y(limit.used) }));
    }
    if (this.at !== null && times[this.at] >= this.from) {
      const place = x(times[this.at]);
      parts.push(shape("line", { class: "cursor", x1: place, x2: place, y1: 0, y2: HEIGHT }));
    }
    this.svg.classList.toggle("several", shown.length > 1);
    this.svg.replaceChildren(...parts);
    this.words(shown, top);
  }

  words(shown, top) {
    const { times, series } = this.history;
    const past = this.at !== null && times[this.at] !== undefined;
    const index = past ? this.at : times.length - 1;
    const first = series[shown[0].series][index];
    this.value.textContent = past ? `${new Date(times[index] * 1000).toLocaleTimeString()}  ${shown.length === 1 ? percent(first) : ""}` : this.text;
    const keys = shown.length > 1 ? shown.map((line) => make("span", `key c${this.lines.indexOf(line)}`, make("span", "", `${line.name} ${percent(series[line.series][index])}`))) : [];
    this.under.replaceChildren(...keys, make("span", "", [this.below, top < 100 ? `scale to ${top} %` : ""].filter(Boolean).join(" · ")));
    this.svg.setAttribute("aria-label", `${this.title}: ${this.text || shown.map((line) => `${line.name} ${percent(series[line.series].at(-1))}`).join(", ")}. ${this.below}`);
  }

  look(index) {
    this.at = index;
    if (this.history) this.update(this.history, this.limits, this.now, this.text, this.below);
  }

  point(event) {
    if (!this.history) return;
    const box = this.svg.getBoundingClientRect();
    const time = this.from + ((event.clientX - box.left) / box.width) * (this.now - this.from);
    let nearest = null;
    this.history.times.forEach((each, index) => {
      if (nearest === null || Math.abs(each - time) < Math.abs(this.history.times[nearest] - time)) nearest = index;
    });
    this.look(nearest);
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") this.look(null);
    if (!(event.key in steps) || !this.history) return;
    event.preventDefault();
    const last = this.history.times.length - 1;
    this.look(Math.min(last, Math.max(0, (this.at ?? last) + steps[event.key])));
  }
}

function runs(times, series) {
  const found = [];
  let before = null;
  series.forEach((each, index) => {
    if (each === null) { before = null; return; }
    if (before === null || times[index] - before > GAP_SECONDS) found.push([]);
    found.at(-1).push([times[index], each]);
    before = times[index];
  });
  return found;
}

export function sparkline(series, colour) {
  const known = series.filter((each) => each !== null);
  const svg = shape("svg", { class: `spark ${colour}`, viewBox: "0 0 60 20", preserveAspectRatio: "none", "aria-hidden": "true" });
  if (known.length < 2) return svg;
  const top = Math.max(1, ...known) * 1.1;
  const points = [];
  series.forEach((each, index) => { if (each !== null) points.push(`${(60 - series.length + index + 1).toFixed(0)},${(20 - (each / top) * 19).toFixed(1)}`); });
  svg.append(shape("path", { class: "curve", d: `M${points.join(" L")}` }));
  return svg;
}
