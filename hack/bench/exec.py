#!/usr/bin/env python3
"""What an exec costs: from the client's connection to the exit code, beside the runtime's own program.

    hack/bench/exec.py --kubeconfig F [--node N] [--runtime-class C] [--count 50] [--image I] [--output text|json]
                       [--bare "runc --root R exec {id} true"]

Each round is what `kubectl exec POD -- true` does on the wire: a new TLS connection, a WebSocket with v5.channel.k8s.io, the
command's end, the Status; at the node's endpoint and through the API, in turns with the bare command, in which {id} is the
container's id and {n} the round. The client's own start is not counted: there is none.
"""

import argparse
import asyncio
import json
import shlex
import statistics
import sys
import time
from typing import Any

from cluster import Cluster, connect

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")  # the streaming server of containerd 1.6 knows v4 only
COMMAND = "command=true&stdout=true&stderr=true"


async def through(cluster: Cluster, base: str, path: str) -> float:
    began = time.monotonic()
    status = b""
    async with cluster.session(base) as http, http.ws_connect(path, protocols=PROTOCOLS) as socket:
        async for message in socket:
            if message.data[:1] == b"\x03":
                status += message.data[1:]
    if json.loads(status)["status"] != "Success":
        raise SystemExit(f"{path}: {status.decode()}")
    return time.monotonic() - began


async def bare(command: str, container_id: str, number: int) -> float:
    words = [word.format(id=container_id, n=number) for word in shlex.split(command)]
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL)
    if await process.wait():
        raise SystemExit(f"{' '.join(words)}: exit status {process.returncode}")
    return time.monotonic() - began


async def measure(cluster: Cluster, options: argparse.Namespace) -> dict[str, Any]:
    pod = await asyncio.to_thread(cluster.run, "sleep 100000", image=options.image, runtime_class=options.runtime_class)
    times: dict[str, list[float]] = {}
    try:
        container_id = await asyncio.to_thread(cluster.container_id, pod)
        node_path = f"/exec/default/{pod}/c?command=true&output=1&error=1"
        api_path = f"/api/v1/namespaces/default/pods/{pod}/exec?container=c&{COMMAND}"
        for number in range(-2, options.count):  # two rounds to warm up
            found = {
                "node endpoint": await through(cluster, cluster.node, node_path),
                "API": await through(cluster, cluster.api, api_path),
            }
            if options.bare:
                found["bare"] = await bare(options.bare, container_id, number)
            if number >= 0:
                for name, seconds in found.items():
                    times.setdefault(name, []).append(seconds)
    finally:
        await asyncio.to_thread(cluster.delete, pod)
    return {name: summary(values) for name, values in times.items()}


def summary(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "p50_ms": round(statistics.median(ordered) * 1000, 1),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)] * 1000, 1),
        "min_ms": round(ordered[0] * 1000, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--node", default="")
    parser.add_argument("--runtime-class", default="")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--image", default="localhost/demo:1")
    parser.add_argument("--bare", default="")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    result = asyncio.run(measure(connect(options.kubeconfig, options.node), options))
    if options.output == "json":
        print(json.dumps(result, indent=1))
        return 0
    for name, found in result.items():
        print(f"{name:14} p50 {found['p50_ms']:>7} ms  p95 {found['p95_ms']:>7} ms  min {found['min_ms']:>7} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
