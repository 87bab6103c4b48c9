#!/usr/bin/env python3
"""How fast a node starts pods, and what they cost while they idle; through any Kubernetes API, against any node agent.

    hack/bench/pods.py --kubeconfig F [--runtime-class C] [--sequential 20] [--burst 100] [--load N] [--exits N]
                       [--output text|json]

Pods are bound to the node by `spec.nodeName`. Create -> Ready is the time from sending the create to the watch event with
condition Ready=True; delete -> gone the time from sending the delete to the DELETED event. `--load`: so many pods run on the
node before anything is measured, and stay. `--exits`: pods whose process ends when this program writes to a FIFO of theirs
(on the same machine); exit -> status is the time from there to the watch event with the exit code, exit -> terminal phase to the
one with phase Succeeded. Everything it made is deleted.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
from lightkube.models.core_v1 import Node, Pod

from nodeagent.api import kubeconfig
from nodeagent.api.client import ApiClient
from nodeagent.api.informer import Informer
from nodeagent.api.wire import EventType

NOTHING: Mapping[str, Any] = MappingProxyType({})

# Programs whose memory and CPU are the price of running pods. The first word of a command line that matches, by name.
PROGRAMS = {
    "nodeagent": ("nodeagent run", "nodeagent.main"),
    "nodeagent apiserver (standalone only)": ("nodeagent.apiserver",),
    "kubelet": ("kubelet",),
    "containerd": ("containerd ", "bin/containerd"),
    "containerd-shim": ("containerd-shim",),
    "conmon": ("conmon",),
    "catatonit": ("catatonit",),
    "runsc": ("runsc",),
    "pause": ("/pause",),
}


@dataclass(slots=True)
class Timings:
    """Seconds on one clock, by pod name."""

    created: dict[str, float] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)
    deleted: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    told: dict[str, float] = field(default_factory=dict)
    exited: dict[str, float] = field(default_factory=dict)
    terminal: dict[str, float] = field(default_factory=dict)  # phase Succeeded or Failed
    writes: dict[str, int] = field(default_factory=dict)  # versions of the object seen until it was Ready
    failed: dict[str, str] = field(default_factory=dict)


class Bench:
    """One run against one node."""

    def __init__(self, client: ApiClient, options: argparse.Namespace, node: str) -> None:
        self._client = client
        self._options = options
        self._node = node
        self._run = uuid.uuid4().hex[:6]
        self._timings = Timings()
        self._informer = Informer(
            client, Pod, namespace=options.namespace, label_selector=f"nodeagent-bench={self._run}"
        )

    @property
    def timings(self) -> Timings:
        return self._timings

    def names(self, kind: str, count: int) -> list[str]:
        return [f"bench-{self._run}-{kind}{index}" for index in range(count)]

    async def run(self) -> dict[str, Any]:
        async with self.watching():
            return await self._measure()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Follow the pods; at the end all that was made is deleted."""
        self._informer.subscribe(self._changed)
        watching = asyncio.create_task(self._informer.run())
        try:
            await self._informer.synced()
            yield
        finally:
            await self.delete([name for name in self._timings.created if name not in self._timings.gone], force=True)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def ready(self, names: list[str]) -> None:
        await self._wait(self._timings.ready, names)

    async def _measure(self) -> dict[str, Any]:
        await self.warm_up()
        result: dict[str, Any] = {"node": self._node, "runtime_class": self._options.runtime_class or "(default)"}
        load = self.names("l", self._options.load)
        if load:
            begin = time.monotonic()
            await self.create_all(load)
            await self.ready(load)
            result["load"] = {"pods": len(load), "all_ready_seconds": round(time.monotonic() - begin, 2)}
            await asyncio.sleep(self._options.settle)
            result["memory"] = {"pods": len(load), "pss_bytes": memory_by_program()}
            result["idle"] = {"pods": len(load)} | await cpu_while_idle(self._options.idle)
        one_by_one = self.names("s", self._options.sequential)
        before = cpu_by_program()
        for name in one_by_one:
            await self.create(name)
            await self.ready([name])
        result["sequential"] = summary(self._timings.created, self._timings.ready, one_by_one)
        result["cpu_ms_per_start"] = cpu_per_pod(before, cpu_by_program(), len(one_by_one))
        result["writes_per_start"] = self._writes(one_by_one)
        for name in one_by_one:
            await self.delete([name])
        result["delete"] = summary(self._timings.deleted, self._timings.gone, one_by_one)
        if self._options.exits:
            result["exit"], result["terminal"] = await self._exits(self.names("e", self._options.exits))
        burst = self.names("b", self._options.burst)
        if burst:
            begin = time.monotonic()
            await self.create_all(burst)
            await self.ready(burst)
            result["burst"] = {
                "pods": len(burst),
                "all_ready_seconds": round(max(self._timings.ready[name] for name in burst) - begin, 2),
            } | summary(self._timings.created, self._timings.ready, burst)
            result["burst"]["writes_per_start"] = self._writes(burst)
            await asyncio.sleep(self._options.settle)
            result["memory"] = {"pods": len(burst), "pss_bytes": memory_by_program()}
            result["idle"] = {"pods": len(burst)} | await cpu_while_idle(self._options.idle)
            begin = time.monotonic()
            await self.delete(burst)
            result["burst"]["all_gone_seconds"] = round(time.monotonic() - begin, 2)
        return result

    async def warm_up(self) -> None:
        """One pod first: images, certificates and connections of a fresh node are not what is measured."""
        name = f"bench-{self._run}-warm"
        await self.create(name)
        await self.ready([name])
        await self.delete([name])
        for times in (self._timings.created, self._timings.ready, self._timings.deleted, self._timings.gone):
            times.pop(name, None)

    async def _exits(self, names: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Pods that end on command, one by one."""
        with tempfile.TemporaryDirectory(prefix="nodeagent-bench-") as folder:
            for name in names:
                os.mkfifo(Path(folder, name))
                mount = {"name": "fifo", "mountPath": "/fifo"}
                container = {"command": ["sh", "-c", f"read word </fifo/{name}; exit 0"], "volumeMounts": [mount]}
                volume = {"name": "fifo", "hostPath": {"path": folder}}
                await self.create(name, container, {"volumes": [volume], "restartPolicy": "Never"})
            await self.ready(names)
            for name in names:
                # opening waits for the reader, so the clock starts when the process is about to end
                file = await asyncio.to_thread(open, Path(folder, name), "w")
                self._timings.told[name] = time.monotonic()
                file.write("end\n")
                file.close()
                await self._wait(self._timings.exited, [name])
                await self._wait(self._timings.terminal, [name])
            await self.delete(names)
        timings = self._timings
        return summary(timings.told, timings.exited, names), summary(timings.told, timings.terminal, names)

    def _writes(self, names: list[str]) -> float:
        return round(statistics.mean(self._timings.writes[name] for name in names), 2) if names else 0.0

    async def create_all(self, names: list[str]) -> None:
        """As many requests at once as a busy controller sends."""
        slots = asyncio.Semaphore(100)

        async def one(name: str) -> None:
            async with slots:
                await self.create(name)

        await asyncio.gather(*(one(name) for name in names))

    async def create(
        self, name: str, container: Mapping[str, Any] = NOTHING, more: Mapping[str, Any] = NOTHING
    ) -> None:
        spec: dict[str, Any] = {
            "nodeName": self._node,
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": self._options.image, "command": self._options.command, **container}],
            "automountServiceAccountToken": not self._options.no_token,
            **more,
        }
        if self._options.runtime_class:
            spec["runtimeClassName"] = self._options.runtime_class
        metadata = {"name": name, "labels": {"nodeagent-bench": self._run}}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        self._timings.created[name] = time.monotonic()
        await self._client.request(
            "POST", f"/api/v1/namespaces/{self._options.namespace}/pods", json.dumps(body).encode()
        )

    async def delete(self, names: list[str], *, force: bool = False) -> None:
        async def one(name: str) -> None:
            self._timings.deleted[name] = time.monotonic()
            with contextlib.suppress(Exception):
                await self._client.delete(Pod, name, self._options.namespace)

        await asyncio.gather(*(one(name) for name in names))
        if force:
            with contextlib.suppress(SystemExit):
                await self._wait(self._timings.gone, names)
        else:
            await self._wait(self._timings.gone, names)

    async def _wait(self, times: dict[str, float], names: list[str]) -> None:
        try:
            async with asyncio.timeout(self._options.timeout), self._timings.changed:
                await self._timings.changed.wait_for(
                    lambda: self._timings.failed or all(name in times for name in names)
                )
        except TimeoutError:
            late = [name for name in names if name not in times]
            shown = ", ".join(late[:5])
            raise SystemExit(
                f"not there after {self._options.timeout:g} s: {len(late)} of {len(names)} pods ({shown}); "
                "kubectl describe tells why"
            ) from None
        if self._timings.failed:
            raise SystemExit(f"pods failed: {self._timings.failed}")

    def _changed(self, kind: EventType, old: Pod | None, new: Pod | None) -> None:
        now = time.monotonic()
        pod = new or old
        assert pod is not None
        assert pod.metadata is not None
        name = pod.metadata.name or ""
        if name not in self._timings.ready:
            self._timings.writes[name] = self._timings.writes.get(name, 0) + 1
        if new is not None and has_ended(new):
            self._timings.exited.setdefault(name, now)
        if new is not None and new.status is not None and new.status.phase in ("Succeeded", "Failed"):
            self._timings.terminal.setdefault(name, now)
        if new is None:
            self._timings.gone.setdefault(name, now)
        elif is_ready(new):
            self._timings.ready.setdefault(name, now)
        elif (
            new.status is not None
            and new.status.phase == "Failed"
            and new.metadata
            and not new.metadata.deletionTimestamp
        ):
            self._timings.failed[name] = new.status.message or new.status.reason or "Failed"
        asyncio.ensure_future(self._notify())  # noqa: RUF006  # ends at once

    async def _notify(self) -> None:
        async with self._timings.changed:
            self._timings.changed.notify_all()


@contextlib.asynccontextmanager
async def connected(path: str | Path, node: str) -> AsyncIterator[tuple[ApiClient, str]]:
    """A client that sends as much at once as a busy controller does, and the node's name: `node`, or the first one's."""
    async with ApiClient(kubeconfig.load(path), qps=-1, burst=1, in_flight=100) as client:
        if not node:
            names = [item.metadata.name for item in (await client.list(Node)).items if item.metadata is not None]
            if not names or not names[0]:
                raise SystemExit(f"{path}: no node is registered at this API")
            node = names[0]
        yield client, node


def summary(begin: dict[str, float], end: dict[str, float], names: list[str]) -> dict[str, Any]:
    times = sorted((end[name] - begin[name]) * 1000 for name in names if name in begin and name in end)
    if not times:
        return {}
    return {
        "count": len(times),
        "p50_ms": round(statistics.median(times), 1),
        "p90_ms": round(times[min(len(times) - 1, int(len(times) * 0.9))], 1),
        "p99_ms": round(times[min(len(times) - 1, int(len(times) * 0.99))], 1),
        "max_ms": round(times[-1], 1),
    }


def is_ready(pod: Pod) -> bool:
    conditions = (pod.status.conditions if pod.status is not None else None) or ()
    return any(item.type == "Ready" and item.status == "True" for item in conditions)


def has_ended(pod: Pod) -> bool:
    statuses = (pod.status.containerStatuses if pod.status is not None else None) or ()
    return any(item.state is not None and item.state.terminated is not None for item in statuses)


def processes() -> dict[str, list[psutil.Process]]:
    """The processes of this machine that run pods, by program."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if not line or "hack/bench" in line or "pytest" in line:
            continue
        first = " ".join((process.info["cmdline"] or [])[:4])
        # the more special name first: a shim is not containerd, the API server not the agent
        for name in ("nodeagent apiserver (standalone only)", "containerd-shim", *PROGRAMS):
            if any(word in first for word in PROGRAMS[name]):
                found.setdefault(name, []).append(process)
                break
    return found


def pss_bytes(pid: int) -> int:
    """Shared pages count once over all who share them; 0 for a process that has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def memory_by_program() -> dict[str, int]:
    """Proportional set size, bytes."""
    totals: dict[str, int] = {}
    for name, members in processes().items():
        totals[name] = sum(pss_bytes(process.pid) for process in members)
    totals["total"] = sum(totals.values())
    return totals


def cpu_by_program() -> dict[str, tuple[float, float]]:
    """User and system seconds so far."""
    totals: dict[str, tuple[float, float]] = {}
    for name, members in processes().items():
        for process in members:
            with contextlib.suppress(psutil.Error):
                times, known = process.cpu_times(), totals.get(name, (0.0, 0.0))
                totals[name] = (known[0] + times.user, known[1] + times.system)
    return totals


def cpu_per_pod(
    before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]], pods: int
) -> dict[str, dict[str, float]]:
    """Milliseconds of the long-lived programs; conmons, shims and the like come and go."""
    found: dict[str, dict[str, float]] = {}
    for name in ("nodeagent", "nodeagent apiserver (standalone only)", "kubelet", "containerd"):
        if name in before and name in after and pods:
            spent = [
                round((late - early) * 1000 / pods, 1) for early, late in zip(before[name], after[name], strict=True)
            ]
            found[name] = {"user": spent[0], "system": spent[1]}
    return found


async def cpu_while_idle(seconds: float) -> dict[str, Any]:
    """CPU seconds that each program takes while nothing happens."""

    before = cpu_by_program()
    await asyncio.sleep(seconds)
    spent = {
        name: round(max(0.0, sum(times) - sum(before.get(name, (0.0, 0.0)))), 2)
        for name, times in cpu_by_program().items()
    }
    spent["total"] = round(sum(spent.values()), 2)
    return {"seconds": seconds, "cpu_seconds": spent, "cores_percent": round(spent["total"] / seconds * 100, 1)}


def text_of(result: dict[str, Any]) -> str:
    lines = [f"node {result['node']}, runtime class {result['runtime_class']}"]
    if "load" in result:
        lines.append(f"{result['load']['pods']} pods stay: all Ready after {result['load']['all_ready_seconds']} s")
    for key, what in (
        ("sequential", "create -> Ready, one by one"),
        ("delete", "delete -> gone, one by one"),
        ("exit", "exit -> status, one by one"),
        ("terminal", "exit -> terminal phase, one by one"),
    ):
        item = result.get(key) or {}
        if item:
            percentiles = ", ".join(f"{name} {item[f'{name}_ms']} ms" for name in ("p50", "p90", "p99", "max"))
            lines.append(f"{what}: {percentiles} ({item['count']})")
    for name, spent in result["cpu_ms_per_start"].items():
        lines.append(f"  {name}: {spent['user']} ms user, {spent['system']} ms system a start")
    lines.append(f"  {result['writes_per_start']} versions of the pod object until Ready")
    if "burst" in result:
        burst = result["burst"]
        when = f"all Ready after {burst['all_ready_seconds']} s (p50 {burst['p50_ms']} ms)"
        lines.append(f"{burst['pods']} pods at once: {when}, all gone after {burst['all_gone_seconds']} s")
        lines.append(f"  {burst['writes_per_start']} versions of each pod object until Ready")
    if "memory" in result:
        lines += [f"  {name}: {size / 1e6:.1f} MB PSS" for name, size in result["memory"]["pss_bytes"].items()]
        idle = result["idle"]
        lines.append(f"idle for {idle['seconds']:g} s: {idle['cores_percent']} % of a core")
        lines += [f"  {name}: {spent} CPU s" for name, spent in idle["cpu_seconds"].items()]
    return "\n".join(lines)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--runtime-class", default="")
    parser.add_argument("--sequential", type=int, default=20)
    parser.add_argument("--burst", type=int, default=100)
    parser.add_argument("--load", type=int, default=0, help="pods that run on the node all the time")
    parser.add_argument("--exits", type=int, default=0, help="pods that end on command")
    parser.add_argument("--no-token", action="store_true", help="pods without a service account token")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("--node", default="", help="default: the first node")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--image", default="localhost/demo:1")
    parser.add_argument("--command", nargs="+", default=["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"])
    parser.add_argument("--idle", type=float, default=30.0, help="seconds to watch the idle node")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds to wait before memory is read")
    parser.add_argument("--timeout", type=float, default=300.0)
    options = parser.parse_args()
    async with connected(options.kubeconfig, options.node) as (client, node):
        result = await Bench(client, options, node).run()
    print(json.dumps(result, indent=2) if options.output == "json" else text_of(result))
    return 0


if __name__ == "__main__":
    import uvloop

    sys.exit(uvloop.run(main()))
