// Ask for the document every two seconds while somebody looks, and show it.

import { age, amount, bar, byId, bytes, count, make, millicores, percent } from "./elements.js";
import { Chart, spanOf, sparkline } from "./charts.js";

const EVERY_MS = 2000;
const GOOD = ["Running", "Completed", "Succeeded"], WAITING = ["Pending", "ContainerCreating", "PodInitializing", "Terminating"];
const charts = {
  cpu: new Chart("CPU", [{ name: "CPU", series: "cpu" }]),
  memory: new Chart("Memory", [{ name: "memory", series: "memory.available" }]),
  stalls: new Chart("Tasks waiting for", [{ name: "CPU", series: "stall.cpu" }, { name: "memory", series: "stall.memory" }, { name: "disks", series: "stall.io" }]),
  disk: new Chart("Disk space", [{ name: "nodefs", series: "nodefs.available" }, { name: "imagefs", series: "imagefs.available" }]),
  inodes: new Chart("Inodes", [{ name: "nodefs", series: "nodefs.inodesFree" }, { name: "imagefs", series: "imagefs.inodesFree" }]),
  processes: new Chart("Processes", [{ name: "processes", series: "pid.available" }]),
};
byId("charts").append(...Object.values(charts).map((chart) => chart.element));

let shown = null, tag = "", sorting = { key: "cpu_millicores", up: false };

function show(found) {
  shown = found;
  byId("name").textContent = found.name;
  document.title = `${found.name} · nodeagent`;
  alarm(found.error ? `The node does not answer: ${found.error}` : "");
  if (!found.node) return;
  const { node } = found;
  const state = byId("state");
  state.textContent = node.ready ? "Ready" : "NotReady";
  state.className = `badge ${node.ready ? "good" : "bad"}`;
  byId("pressures").replaceChildren(...node.pressures.map((name) => make("span", "badge bad", name)));
  byId("about").textContent = [...(found.about.words ?? []), found.about.message].filter(Boolean).join(" · ");
  showCharts(found);
  showDistance(node.thresholds);
  showPods();
  showRuntimes(found);
  showVolumes(found.volumes);
  showEvents(found);
  tick();
}

function alarm(text) {
  byId("alarm").hidden = !text;
  if (byId("alarm").textContent !== text) byId("alarm").textContent = text;
}

const usedAt = (each) => ((each.capacity - each.threshold) * 100) / each.capacity;

function showCharts({ node, history, seen_at: now }) {
  const limits = (...signals) => node.thresholds.filter((each) => signals.includes(each.signal)).map((each) => ({ hard: each.hard, used: usedAt(each) }));
  const left = (...signals) => {
    const nearest = node.thresholds.filter((each) => signals.includes(each.signal)).sort(byDistance)[0];
    return nearest ? (nearest.distance < 0 ? `${nearest.signal} is past its threshold` : `${amount(nearest.signal, nearest.distance)} until eviction`) : "no threshold";
  };
  const cpus = node.cpus * 1000;
  byId("span").textContent = `last ${age(spanOf(history.times, now))}`;
  charts.cpu.update(history, [], now, `${millicores(node.cpu_millicores)} of ${cpus} m`, "");
  charts.memory.update(history, limits("memory.available"), now, `${bytes(node.memory_bytes)} of ${bytes(node.memory_total_bytes)}`, left("memory.available"));
  charts.stalls.update(history, [], now, "", "");
  charts.disk.update(history, limits("nodefs.available", "imagefs.available"), now, "", left("nodefs.available", "imagefs.available"));
  charts.inodes.update(history, limits("nodefs.inodesFree", "imagefs.inodesFree"), now, "", left("nodefs.inodesFree", "imagefs.inodesFree"));
  charts.processes.update(history, limits("pid.available"), now, `${count(node.processes)} of ${count(node.max_processes)}`, left("pid.available"));
}

const byDistance = (a, b) => a.distance / a.capacity - b.distance / b.capacity;

function showDistance(thresholds) {
  const rows = [...thresholds].sort(byDistance).map((each) => {
    const bad = each.distance < 0;
    return make("tr", "", make("td", "", each.signal), make("td", each.hard ? "kind" : "kind warn", each.hard ? "hard" : "soft"),
      make("td", `number ${bad ? "bad" : ""}`, amount(each.signal, each.distance)), make("td", "number wide", amount(each.signal, each.available)),
      make("td", "number wide", amount(each.signal, each.threshold)), make("td", "meter", bar(((each.capacity - each.available) * 100) / each.capacity, usedAt(each), bad)));
  });
  fill("#distance tbody", rows, 6, "The node evicts by no threshold.");
}

function fill(selector, rows, columns, otherwise) {
  if (!rows.length) {
    const cell = make("td", "empty", otherwise);
    cell.colSpan = columns;
    rows = [make("tr", "", cell)];
  }
  document.querySelector(selector).replaceChildren(...rows);
}

function ordered(pods) {
  const { key, up } = sorting;
  const value = (pod) => (key === "name" ? `${pod.namespace}/${pod.name}` : pod[key] ?? -1);
  const order = (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0);
  const places = (a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1);
  return [...pods].sort((a, b) => (up ? order(a, b) : order(b, a)) || places(a, b));
}

function showPods() {
  const words = byId("filter").value.toLowerCase();
  const pods = ordered(shown.pods).filter((pod) => `${pod.namespace}/${pod.name} ${pod.status} ${pod.runtime}`.toLowerCase().includes(words));
  byId("pod-count").textContent = pods.length === shown.pods.length ? `${pods.length}` : `${pods.length} of ${shown.pods.length}`;
  const figure = (text, series, colour) => make("td", "number", make("span", "figure", sparkline(series, colour), make("span", "", text)));
  const rows = pods.map((pod) => make("tr", "",
    make("td", "", pod.name, make("span", "sub", pod.namespace)),
    make("td", GOOD.includes(pod.status) ? "good" : WAITING.includes(pod.status) ? "warn" : "bad", pod.status, make("span", "sub", pod.ready ? `${pod.ready} ready` : "")),
    make("td", "wide", pod.runtime || "default"), make("td", "number medium", count(pod.restarts)),
    figure(millicores(pod.cpu_millicores), pod.cpu, "c0"), figure(bytes(pod.memory_bytes), pod.memory, "c2"),
    make("td", "number wide", bytes(pod.disk_bytes)), make("td", "number wide", count(pod.processes)), make("td", "number wide", pod.age)));
  fill("#pod-table tbody", rows, 9, words ? "No pod is like this." : "The node has no pod.");
  for (const head of document.querySelectorAll("#pod-table th[data-key]")) {
    if (head.dataset.key === sorting.key) head.setAttribute("aria-sort", sorting.up ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
}

function showRuntimes({ runtimes, troubles, parts_unknown: unknown }) {
  byId("runtimes").replaceChildren(...runtimes.map((each) => {
    const colour = ["running", "ready"].includes(each.state) ? "good" : each.state === "failed" ? "bad" : "warn";
    const title = make("h3", "", make("span", "", each.name + (each.default ? " (default)" : "")), make("span", `badge ${colour}`, each.state));
    const able = each.features.length ? each.features.join(", ") : "";
    return make("div", "card", title, make("div", "", `${each.pods} ${each.pods === 1 ? "pod" : "pods"}`), make("div", "note", able), each.reason ? make("div", "bad", each.reason) : null);
  }));
  const words = troubles.map((part) => `${part.name}: ${part.state}${part.reason ? ` (${part.reason})` : ""}`);
  if (unknown) words.push(`The parts of its agent are not known: ${unknown}`);
  byId("troubles").textContent = words.join("; ");
}

function showVolumes(volumes) {
  const rows = volumes.map((each) => {
    const used = each.capacity_bytes ? (each.used_bytes * 100) / each.capacity_bytes : 0;
    return make("tr", "", make("td", "", each.name), make("td", "", each.pod, make("span", "sub", each.namespace)), make("td", "", each.claim || "–"),
      make("td", "number", bytes(each.used_bytes)), make("td", "number", bytes(each.capacity_bytes)), make("td", "meter wide", bar(used, null, used >= 95)));
  });
  fill("#volumes tbody", rows, 6, "No pod has a volume.");
}

function showEvents({ events, events_unknown: unknown, seen_at: now }) {
  byId("events-unknown").textContent = unknown ? `Not all is known: ${unknown}` : events.length ? "" : "None.";
  const list = byId("events"), place = list.scrollTop;
  list.replaceChildren(...events.map((each) => make("li", "", make("span", "when", age(now - each.at)),
    make("span", each.type === "Warning" ? "warn" : "", each.reason + (each.count > 1 ? ` ×${each.count}` : "")),
    make("span", "about", each.about, make("span", "sub", each.namespace)), make("span", "message", each.message))));
  list.scrollTop = place;
}

function tick() {
  if (shown?.seen_at) byId("age").textContent = `seen ${new Date(shown.seen_at * 1000).toLocaleTimeString()}`;
}

async function ask() {
  try {
    const answer = await fetch("data", { headers: tag ? { "If-None-Match": tag } : {}, signal: AbortSignal.timeout(20000), cache: "no-store" });
    if (answer.status === 200) { tag = answer.headers.get("ETag") ?? ""; show(await answer.json()); }
    else if (answer.status !== 304) throw new Error(`status ${answer.status}`);
    else if (shown) alarm(shown.error ? `The node does not answer: ${shown.error}` : "");
  } catch (error) {
    alarm(`nodeagent dashboard does not answer (${error.message}); what is shown is old.`);
  }
}

let asking = false;
async function turn() {
  if (asking || document.hidden) return;
  asking = true;
  await ask();
  asking = false;
}

byId("filter").addEventListener("input", () => shown?.pods && showPods());
for (const head of document.querySelectorAll("#pod-table th[data-key]")) {
  head.querySelector("button").addEventListener("click", () => {
    const { key } = head.dataset;
    sorting = { key, up: sorting.key === key ? !sorting.up : ["name", "status", "runtime"].includes(key) };
    if (shown?.pods) showPods();
  });
}
document.addEventListener("visibilitychange", turn);
setInterval(turn, EVERY_MS);
turn();
