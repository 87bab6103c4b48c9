#!/usr/bin/env python3
"""What hollow fleets cost, and how that grows: CPU, memory and API calls of the agents, a node and a pod.

    hack/bench/fleet.py [--sizes 1x0,50x0,200x0,1x250,1x1000] [--idle 30] [--output text|json] [--plot FILE.svg] [-- OPTIONS]

A size is NODESxPODS, the pods of all nodes together. Each is a `nodeagent hollow` of its own, with an embedded API unless OPTIONS
(of that command) name another. A pod's costs are those from its making to all pods Running, start times included. CPU and
memory are of the process of the agents alone; requests are counted there, by verb and resource.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def samples(nodes: int, pods: int, idle: float, options: list[str]) -> list[dict[str, Any]]:
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [sys.executable, "-m", "nodeagent", "hollow", f"--nodes={nodes}", f"--pods={pods}"]
        command += [
            f"--duration={idle + 10}",
            "--interval=10",
            f"--report={report.name}",
            "--log-level=warning",
            *options,
        ]
        subprocess.run(command, check=True)
        return [json.loads(line) for line in Path(report.name).read_text().splitlines()]


def measured(nodes: int, pods: int, found: list[dict[str, Any]]) -> dict[str, Any]:
    """One row. `idle_percent`: of a core, a node, when nothing has been asked for 10 s."""
    phases = {sample["phase"]: sample for sample in found if sample["phase"]}
    start, ready, end = phases["start"], phases["nodes"], phases["end"]
    running = phases.get("pods", ready)
    quiet = next(sample for sample in found if sample["seconds"] >= running["seconds"] + 10)
    seconds = end["seconds"] - quiet["seconds"]
    row: dict[str, Any] = {
        "nodes": nodes,
        "pods": pods,
        "kb_a_node": round((ready["rss_bytes"] - start["rss_bytes"]) / nodes / 1e3),
        "cpu_ms_a_node": round((ready["cpu_seconds"] - start["cpu_seconds"]) / nodes * 1e3, 1),
        "calls_a_node": round(sum(ready["calls"].values()) / nodes, 1),
        "idle_percent": round((end["cpu_seconds"] - quiet["cpu_seconds"]) / seconds / nodes * 100, 3),
        "idle_calls_a_minute": round(
            (sum(end["calls"].values()) - sum(quiet["calls"].values())) / seconds / nodes * 60, 1
        ),
        "mb": round(end["rss_bytes"] / 1e6),
        "failed": sum(end["failed"].values()),
    }
    if pods:
        calls = {name: count - ready["calls"].get(name, 0) for name, count in running["calls"].items()}
        row |= {
            "kb_a_pod": round((running["rss_bytes"] - ready["rss_bytes"]) / pods / 1e3),
            "cpu_ms_a_pod": round((running["cpu_seconds"] - ready["cpu_seconds"]) / pods * 1e3, 1),
            "seconds": round(running["seconds"] - ready["seconds"], 1),
            "calls_a_pod": {name: round(count / pods, 2) for name, count in calls.items() if count >= pods / 2},
        }
    return row


def text_of(rows: list[dict[str, Any]]) -> str:
    names = [name for name in rows[-1] if name != "calls_a_pod"]
    lines = [" ".join(f"{name:>{max(8, len(name))}}" for name in names)]
    for row in rows:
        lines.append(" ".join(f"{row.get(name, ''):>{max(8, len(name))}}" for name in names))
        if row.get("calls_a_pod"):
            lines.append(
                "    calls a pod: " + ", ".join(f"{name} {count}" for name, count in row["calls_a_pod"].items())
            )
    return "\n".join(lines)


def plotted(rows: list[dict[str, Any]], path: Path) -> None:
    """How a node's costs grow with the nodes, and a pod's with the pods."""
    import plots

    def line(over: str, name: str) -> list[tuple[float, float]]:
        chosen = [row for row in rows if (not row["pods"] if over == "nodes" else row["nodes"] == 1 and row["pods"])]
        return [(row[over], row[name]) for row in chosen]

    plots.curves(
        {
            "kB": {"a node, over nodes": line("nodes", "kb_a_node"), "a pod, over pods": line("pods", "kb_a_pod")},
            "CPU ms of a start": {
                "a node, over nodes": line("nodes", "cpu_ms_a_node"),
                "a pod, over pods": line("pods", "cpu_ms_a_pod"),
            },
            "idle node, % of a core": {"over nodes": line("nodes", "idle_percent")},
        },
        "nodes, or pods of one node",
        path,
    )


def sizes(text: str) -> list[tuple[int, int]]:
    try:
        return [(int(nodes), int(pods)) for nodes, pods in (item.split("x") for item in text.split(","))]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: sizes such as 200x0,1x1000") from None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=sizes, default="1x0,50x0,200x0,1x250,1x1000", metavar="NxP,...")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds to watch each fleet idle")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("--plot", default="", metavar="FILE", help="the curves as SVG or PNG")
    parser.add_argument("options", nargs="*", help="of nodeagent hollow, after --")
    given = parser.parse_args()
    rows = [measured(nodes, pods, samples(nodes, pods, given.idle, given.options)) for nodes, pods in given.sizes]
    print(json.dumps(rows, indent=2) if given.output == "json" else text_of(rows))
    if given.plot:
        plotted(rows, Path(given.plot))
    return 0


if __name__ == "__main__":
    sys.exit(main())
