#!/usr/bin/env python3
"""The same work at two sides in turn, and what came out of it pair by pair: who starts, ends and bursts faster here and now.

    hack/bench/duel.py --side NAME=KUBECONFIG[,KEY=VALUE...] --side NAME=... [--pairs 20] [--bursts 3] [--burst 50]
                       [--idle 30] [--output text|json] [--plot FILE.svg]

A side is any API endpoint with a node behind it: this project's, another agent's, a kubelet's. Its keys:

    node=N              the node that gets the pods (default: the first)
    runtimeClass=C      of the pods
    image=I             default: --image
    processes=REGEX     command lines of all that this side runs, for memory and CPU; without it these are not told

`--side podman[,runtime=crun]` is podman on this machine: its pod is one container in podman's own network, "Ready" is the
return of `podman run`, "gone" that of `podman rm`. It has no API, no status and no probes; it is a yardstick for the way down.

Machines are noisy, and noise has a direction for minutes. So both sides do one thing after the other, who begins alternates,
and what is told is the median of the ratios of pairs, with their quartiles: 0.5 means that the first side took half of the
second's time. The machine's load is told before and after.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil
from pods import Bench, connected, pss_bytes

_KEYS = {"node", "runtimeClass", "image", "processes", "runtime"}
_PODMAN_SECONDS = 120


class Side(Protocol):
    """One side: starts and ends pods by name, and tells when it is done."""

    name: str
    processes: str

    async def start(self, names: Sequence[str]) -> None:
        """Create all of them at once; returns when all are Ready."""
        ...

    async def end(self, names: Sequence[str]) -> None:
        """Delete all of them at once; returns when nothing is left."""
        ...


@dataclass(slots=True)
class Cluster:
    """A node behind an API."""

    name: str
    processes: str
    bench: Bench

    async def start(self, names: Sequence[str]) -> None:
        await self.bench.create_all(list(names))
        await self.bench.ready(list(names))

    async def end(self, names: Sequence[str]) -> None:
        await self.bench.delete(list(names))


@dataclass(slots=True)
class Podman:
    """podman on this machine, a container a name."""

    name: str
    processes: str
    image: str
    command: Sequence[str]
    runtime: str
    alive: set[str] = field(default_factory=set)

    async def start(self, names: Sequence[str]) -> None:
        runtime = [f"--runtime={self.runtime}"] if self.runtime else []
        self.alive.update(names)
        await asyncio.gather(
            *(self._podman(*runtime, "run", "-d", "--name", name, self.image, *self.command) for name in names)
        )

    async def end(self, names: Sequence[str]) -> None:
        await asyncio.gather(*(self._podman("rm", "-f", "-t", "1", name) for name in names))
        self.alive.difference_update(names)

    async def _podman(self, *arguments: str) -> None:
        # a file, not a pipe: the container's conmon inherits it, and a pipe would not end before the container
        with tempfile.TemporaryFile() as said:
            process = await asyncio.create_subprocess_exec(
                "podman", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=said
            )
            try:
                async with asyncio.timeout(_PODMAN_SECONDS):
                    status = await process.wait()
            except TimeoutError:
                process.kill()
                raise SystemExit(f"podman {' '.join(arguments)}: not done after {_PODMAN_SECONDS} s") from None
            if status:
                said.seek(0)
                raise SystemExit(f"podman {' '.join(arguments)}: {said.read().decode(errors='replace').strip()}")


@dataclass(slots=True)
class Round:
    """What one piece of work took, in milliseconds, by side; `order` is who began."""

    work: str
    order: tuple[str, ...]
    took: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Cost:
    """What a side's processes hold and use while its pods idle."""

    pss_mb: float
    cores_percent: float


@contextlib.asynccontextmanager
async def opened(text: str, options: argparse.Namespace) -> AsyncIterator[Side]:
    """The side that a `--side` tells."""
    head, *rest = text.split(",")
    keys = dict(item.partition("=")[::2] for item in rest)
    if unknown := set(keys) - _KEYS:
        raise SystemExit(f"--side {text}: unknown {', '.join(sorted(unknown))}; there are {', '.join(sorted(_KEYS))}")
    name, _, path = head.partition("=")
    image = keys.get("image", options.image)
    if not path:
        if name != "podman" or shutil.which("podman") is None:
            raise SystemExit(f"--side {text}: NAME=KUBECONFIG, or podman where it is installed")
        podman = Podman(name, keys.get("processes", ""), image, options.command, keys.get("runtime", ""))
        try:
            yield podman
        finally:
            await podman.end(sorted(podman.alive))
        return
    settings = argparse.Namespace(**{**vars(options), "image": image, "runtime_class": keys.get("runtimeClass", "")})
    async with connected(path, keys.get("node", "")) as (client, node):
        bench = Bench(client, settings, node)
        async with bench.watching():
            yield Cluster(name, keys.get("processes", ""), bench)


class Duel:
    """Two sides and the rounds between them."""

    def __init__(self, sides: tuple[Side, Side], options: argparse.Namespace) -> None:
        self._sides = sides
        self._options = options
        self._run = uuid.uuid4().hex[:6]
        self._count = 0
        self.rounds: list[Round] = []
        self.costs: dict[str, Cost] = {}

    async def fight(self) -> None:
        """One pod at each side that nobody counts; then pairs of single pods, pairs of bursts, and both idle side by side."""
        for side in self._sides:
            names = self._names(1)
            await side.start(names)
            await side.end(names)
        for _ in range(self._options.pairs):
            await self._pair("one pod", 1)
        for _ in range(self._options.bursts):
            await self._pair(f"{self._options.burst} pods at once", self._options.burst)
        if self._options.idle:
            await self._idle()

    async def _pair(self, work: str, pods: int) -> None:
        order = self._sides if len(self.rounds) // 2 % 2 == 0 else self._sides[::-1]
        names = tuple(side.name for side in order)
        starts, ends = Round(f"{work}: create -> Ready", names), Round(f"{work}: delete -> gone", names)
        for side in order:
            pod_names = self._names(pods)
            begin = time.monotonic()
            await side.start(pod_names)
            ready = time.monotonic()
            await asyncio.sleep(self._options.rest)
            deleted = time.monotonic()
            await side.end(pod_names)
            starts.took[side.name] = (ready - begin) * 1000
            ends.took[side.name] = (time.monotonic() - deleted) * 1000
            await asyncio.sleep(self._options.rest)
        self.rounds += [starts, ends]

    async def _idle(self) -> None:
        """Both sides hold as many pods and do nothing: the same moments, the same machine."""
        held = {side.name: self._names(self._options.burst) for side in self._sides}
        for side in self._sides:
            await side.start(held[side.name])
        await asyncio.sleep(self._options.settle)
        before = {side.name: _cpu(side.processes) for side in self._sides}
        await asyncio.sleep(self._options.idle)
        for side in self._sides:
            if side.processes:
                spent = _cpu(side.processes) - before[side.name]
                self.costs[side.name] = Cost(
                    sum(pss_bytes(each.pid) for each in _processes(side.processes)) / 1e6,
                    spent / self._options.idle * 100,
                )
        for side in self._sides:
            await side.end(held[side.name])

    def _names(self, count: int) -> list[str]:
        self._count += 1
        return [f"duel-{self._run}-{self._count}-{index}" for index in range(count)]


def _processes(pattern: str) -> Iterable[psutil.Process]:
    wanted = re.compile(pattern)
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if process.pid != os.getpid() and wanted.search(line):
            yield process


def _cpu(pattern: str) -> float:
    """Seconds, user and system."""
    total = 0.0
    for process in _processes(pattern) if pattern else ():
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def summed_up(rounds: Iterable[Round], first: str, second: str) -> dict[str, dict[str, Any]]:
    """By work: each side's median in ms, the ratios first/second of all pairs, their median and quartiles."""
    by_work: dict[str, list[Round]] = {}
    for item in rounds:
        by_work.setdefault(item.work, []).append(item)
    found = {}
    for work, items in by_work.items():
        ratios = [item.took[first] / item.took[second] for item in items]
        quartiles = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else [ratios[0]] * 3
        found[work] = {
            "pairs": len(items),
            "median_ms": {
                name: round(statistics.median(item.took[name] for item in items), 1) for name in (first, second)
            },
            "ratio": round(statistics.median(ratios), 3),
            "quartiles": [round(quartiles[0], 3), round(quartiles[2], 3)],
            "ratios": [round(ratio, 3) for ratio in ratios],
        }
    return found


def text_of(result: dict[str, Any]) -> str:
    first, second = result["sides"]
    lines = [f"{first} against {second}; load {result['load_before']} before, {result['load_after']} after"]
    for work, item in result["works"].items():
        medians = item["median_ms"]
        low, high = item["quartiles"]
        lines.append(
            f"{work:<34} {medians[first]:>9.1f} ms {medians[second]:>9.1f} ms   "
            f"ratio {item['ratio']:.2f} ({low:.2f} to {high:.2f}, {item['pairs']} pairs)"
        )
    for name, cost in result["idle"].items():
        lines.append(f"{name}, idle pods: {cost['pss_mb']:.1f} MB PSS, {cost['cores_percent']:.1f} % of a core")
    return "\n".join(lines)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", action="append", required=True, metavar="NAME=KUBECONFIG[,KEY=VALUE...]")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--bursts", type=int, default=3)
    parser.add_argument("--burst", type=int, default=50, help="pods of one burst, and pods that idle")
    parser.add_argument("--idle", type=float, default=0.0, help="seconds that both sides are watched with idle pods")
    parser.add_argument("--rest", type=float, default=0.3, help="seconds between one thing and the next")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds before idle pods are watched")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--no-token", action="store_true", help="pods without a service account token")
    parser.add_argument("--image", default="localhost/demo:1")
    parser.add_argument("--command", nargs="+", default=["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"])
    parser.add_argument("--timeout", type=float, default=300.0)
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("--plot", default="", metavar="FILE", help="ratios pair by pair as SVG or PNG")
    options = parser.parse_args()
    if len(options.side) != 2:
        parser.error("two --side, no more and no less")
    return options


async def main() -> int:
    options = parsed()
    before = f"{os.getloadavg()[0]:.1f}"
    async with opened(options.side[0], options) as first, opened(options.side[1], options) as second:
        if first.name == second.name:
            raise SystemExit(f"both sides are called {first.name}")
        duel = Duel((first, second), options)
        await duel.fight()
    result = {
        "sides": [first.name, second.name],
        "load_before": before,
        "load_after": f"{os.getloadavg()[0]:.1f}",
        "works": summed_up(duel.rounds, first.name, second.name),
        "idle": {
            name: {"pss_mb": cost.pss_mb, "cores_percent": cost.cores_percent} for name, cost in duel.costs.items()
        },
    }
    print(json.dumps(result, indent=2) if options.output == "json" else text_of(result))
    if options.plot:
        import plots

        plots.ratios(result, Path(options.plot))
    return 0


if __name__ == "__main__":
    import uvloop

    sys.exit(uvloop.run(main()))
