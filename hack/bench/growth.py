#!/usr/bin/env python3
"""How a node's costs grow with its pods: memory, idle CPU, the time and the CPU of one more start.

    hack/bench/growth.py --kubeconfig F [--runtime-class C] [--pods 10,50,100,250] [--output text|json] [--plot FILE.svg]

Pods are added until the first number runs, everything is measured, then the next number. What grows faster than linearly shows in
the last column: how much of memory a pod has cost since the number before. Everything it made is deleted.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from pods import Bench, connected, cpu_by_program, cpu_per_pod, cpu_while_idle, memory_by_program, summary


async def measured(bench: Bench, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a number of pods."""
    rows: list[dict[str, Any]] = []
    await bench.warm_up()
    running = 0
    for number in options.pods:
        added = bench.names("g", number)[running:]
        begin = time.monotonic()
        await bench.create_all(added)
        await bench.ready(added)
        took, running = time.monotonic() - begin, number
        await asyncio.sleep(options.settle)
        memory = memory_by_program()
        idle = await cpu_while_idle(options.idle)
        names = [f"{name}-more" for name in bench.names(f"at{number}-", options.sequential)]
        before = cpu_by_program()
        for name in names:
            await bench.create(name)
            await bench.ready([name])
        spent = cpu_per_pod(before, cpu_by_program(), len(names))
        await bench.delete(names)
        rows.append(
            {
                "pods": number,
                "added_seconds_a_pod": round(took / max(1, len(added)), 4),
                "pss_mb": {name: round(size / 1e6, 1) for name, size in memory.items()},
                "idle_cores_percent": idle["cores_percent"],
                "start": summary(bench.timings.created, bench.timings.ready, names),
                "cpu_ms_per_start": {name: round(sum(times.values()), 1) for name, times in spent.items()},
                "load": round(os.getloadavg()[0], 1),
            }
        )
    return rows


def text_of(rows: list[dict[str, Any]]) -> str:
    """A table; the last column is the memory that each pod since the row before has cost."""
    lines = [
        f"{'pods':>6} {'ms a pod':>9} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8} {'idle %':>7} {'MB':>8} {'kB a pod':>9}"
    ]
    last: dict[str, Any] = {}
    for row in rows:
        total = row["pss_mb"]["total"]
        kilobytes = (total - last["pss_mb"]["total"]) * 1000 / (row["pods"] - last["pods"]) if last else 0.0
        lines.append(
            f"{row['pods']:>6} {row['added_seconds_a_pod'] * 1000:>9.1f} {row['start']['p50_ms']:>8.1f} "
            f"{row['start']['p99_ms']:>8.1f} {sum(row['cpu_ms_per_start'].values()):>8.1f} "
            f"{row['idle_cores_percent']:>7.1f} {total:>8.1f} {kilobytes:>9.0f}"
        )
        last = row
    return "\n".join(lines)


def plotted(rows: list[dict[str, Any]], path: Path) -> None:
    import plots

    def line(value: Any) -> list[tuple[float, float]]:
        return [(row["pods"], value(row)) for row in rows]

    programs = sorted({name for row in rows for name in row["pss_mb"]})
    plots.curves(
        {
            "memory, MB PSS": {name: line(lambda row, name=name: row["pss_mb"].get(name, 0.0)) for name in programs},
            "one more: create -> Ready, ms": {
                "p50": line(lambda row: row["start"]["p50_ms"]),
                "p99": line(lambda row: row["start"]["p99_ms"]),
            },
            "CPU": {
                "ms a start": line(lambda row: sum(row["cpu_ms_per_start"].values())),
                "idle, % of a core": line(lambda row: row["idle_cores_percent"]),
            },
        },
        "pods on the node",
        path,
    )


def numbers(text: str) -> list[int]:
    found = [int(item) for item in text.split(",")]
    if found != sorted(set(found)) or found[0] < 1:
        raise argparse.ArgumentTypeError(f"{text}: numbers of pods in rising order")
    return found


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--runtime-class", default="")
    parser.add_argument("--pods", type=numbers, default=[10, 50, 100, 250], metavar="N,N,...")
    parser.add_argument("--sequential", type=int, default=20, help="starts that are timed at each number")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds to watch the idle node")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds to wait before memory is read")
    parser.add_argument("--no-token", action="store_true", help="pods without a service account token")
    parser.add_argument("--node", default="", help="default: the first node")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--image", default="localhost/demo:1")
    parser.add_argument("--command", nargs="+", default=["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"])
    parser.add_argument("--timeout", type=float, default=600.0)
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("--plot", default="", metavar="FILE", help="the curves as SVG or PNG")
    options = parser.parse_args()
    async with connected(options.kubeconfig, options.node) as (client, node):
        bench = Bench(client, options, node)
        async with bench.watching():
            rows = await measured(bench, options)
    print(json.dumps(rows, indent=2) if options.output == "json" else text_of(rows))
    if options.plot:
        plotted(rows, Path(options.plot))
    return 0


if __name__ == "__main__":
    import uvloop

    sys.exit(uvloop.run(main()))
