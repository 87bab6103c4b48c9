#!/usr/bin/env python3
"""What volumes cost a pod's start, and how soon a changed ConfigMap is in a running pod's file.

    hack/bench/volumes.py --kubeconfig F [--pairs 20] [--updates 30] [--idle-pods 0] [--idle 60]
                          [--root-dir /var/lib/kubelet] [--output text|json]

Starts: pods without volumes of their own and pods with ten (four configMap, three secret, three projected), in turns; each pair's
difference is create -> Ready of the second less that of the first. CPU is that of the node's daemons.
Updates: from sending the change to the API until the file
has it, seen at the node's own directory below `--root-dir`, which is to be on this machine.
Idle: the CPU that so many pods cost in `--idle` seconds, without volumes of their own, and then with ten each.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from pods import Bench, connected, cpu_by_program, cpu_while_idle

from nodeagent.api.client import ApiClient

LOOK_SECONDS = 0.001
DEADLINE_SECONDS = 180.0
SETTLE_SECONDS = 20.0


def ten_volumes(config_map: str, secret: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(keys of the container, keys of the pod's spec)."""
    sources = [{"configMap": {"name": config_map}}, {"secret": {"name": secret}}]
    declared = [
        *({"configMap": {"name": config_map}} for _ in range(4)),
        *({"secret": {"secretName": secret}} for _ in range(3)),
        *({"projected": {"sources": sources}} for _ in range(3)),
    ]
    volumes = [{"name": f"v{number}", **volume} for number, volume in enumerate(declared)]
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    return {"volumeMounts": mounts}, {"volumes": volumes}


class Objects:
    """A ConfigMap and a Secret of this run."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self._base = f"/api/v1/namespaces/{namespace}"
        self.name = f"bench-volumes-{time.time_ns()}"

    async def create(self) -> None:
        metadata = {"name": self.name}
        await self._client.request(
            "POST", f"{self._base}/configmaps", _json({"metadata": metadata, "data": {"k": "0"}})
        )
        await self._client.request(
            "POST", f"{self._base}/secrets", _json({"metadata": metadata, "data": {"k": "MA=="}})
        )

    async def change(self, value: str) -> None:
        path, kind = f"{self._base}/configmaps/{self.name}", "application/merge-patch+json"
        await self._client.request("PATCH", path, _json({"data": {"k": value}}), kind)

    async def delete(self) -> None:
        for plural in ("configmaps", "secrets"):
            await self._client.request("DELETE", f"{self._base}/{plural}/{self.name}")

    async def uid_of(self, pod: str) -> str:
        answer = json.loads(await self._client.request("GET", f"{self._base}/pods/{pod}"))
        return str(answer["metadata"]["uid"])


async def starts(bench: Bench, objects: Objects, count: int) -> dict[str, Any]:
    await bench.warm_up()
    container, spec = ten_volumes(objects.name, objects.name)
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    cpu: dict[str, list[float]] = {"without": [], "with": []}
    for plain, full in zip(bench.names("p", count), bench.names("v", count), strict=True):
        for name, which in ((plain, "without"), (full, "with")):
            before = sum(map(sum, cpu_by_program().values()))
            await bench.create(name, *((container, spec) if which == "with" else ()))
            await bench.ready([name])
            cpu[which].append(sum(map(sum, cpu_by_program().values())) - before)
            seconds[which].append(bench.timings.ready[name] - bench.timings.created[name])
            await bench.delete([name])
    added = [full - plain for plain, full in zip(*seconds.values(), strict=True)]
    found = {f"{name}_p50": _milliseconds(statistics.median(times)) for name, times in seconds.items()}
    found |= {f"{name}_cpu_mean": _milliseconds(statistics.mean(times)) for name, times in cpu.items()}
    quartiles = statistics.quantiles(added, n=4)
    return found | {"added_p50": _milliseconds(quartiles[1]), "added_quartiles": [*map(_milliseconds, quartiles[::2])]}


async def updates(bench: Bench, objects: Objects, count: int, root: Path) -> dict[str, Any]:
    container, spec = ten_volumes(objects.name, objects.name)
    (name,) = bench.names("u", 1)
    await bench.create(name, container, spec)
    await bench.ready([name])
    file = root / "pods" / await objects.uid_of(name) / "volumes/kubernetes.io~configmap/v0/k"
    seconds: list[float] = []
    for number in range(1, count + 1):
        began = time.monotonic()
        await objects.change(str(number))
        while file.read_text() != str(number):
            if time.monotonic() - began > DEADLINE_SECONDS:
                raise SystemExit(f"{file} does not change")
            await asyncio.sleep(LOOK_SECONDS)
        seconds.append(time.monotonic() - began)
        await asyncio.sleep(0.2)
    await bench.delete([name])
    ordered = sorted(seconds)
    return {"p50": _milliseconds(statistics.median(ordered)), "max": _milliseconds(ordered[-1])}


async def idle(bench: Bench, objects: Objects, count: int, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, volumes in (("without", ()), ("with", ten_volumes(objects.name, objects.name))):
        names = bench.names(f"i{kind}", count)
        for name in names:
            await bench.create(name, *volumes)
        await bench.ready(names)
        await asyncio.sleep(SETTLE_SECONDS)
        found[kind] = (await cpu_while_idle(seconds))["cores_percent"]
        await bench.delete(names)
    return found


def _json(body: object) -> bytes:
    return json.dumps(body).encode()


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--idle-pods", type=int, default=0)
    parser.add_argument("--idle", type=float, default=60.0)
    parser.add_argument("--root-dir", type=Path, default=Path("/var/lib/kubelet"))
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("--node", default="", help="default: the first node")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--runtime-class", default="")
    parser.add_argument("--image", default="localhost/demo:1")
    parser.set_defaults(command=["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"], no_token=False, timeout=300.0)
    options = parser.parse_args()
    async with connected(options.kubeconfig, options.node) as (client, node):
        bench, objects = Bench(client, options, node), Objects(client, options.namespace)
        await objects.create()
        try:
            async with bench.watching():
                result = {
                    "start_ms": await starts(bench, objects, options.pairs),
                    "update_ms": await updates(bench, objects, options.updates, options.root_dir)
                    if options.updates
                    else {},
                    "idle_percent": await idle(bench, objects, options.idle_pods, options.idle)
                    if options.idle_pods
                    else {},
                }
        finally:
            await objects.delete()
    print(
        json.dumps(result, indent=2) if options.output == "json" else "\n".join(f"{k}: {v}" for k, v in result.items())
    )
    return 0


if __name__ == "__main__":
    import uvloop

    sys.exit(uvloop.run(main()))
