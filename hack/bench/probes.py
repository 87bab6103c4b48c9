#!/usr/bin/env python3
"""What probes cost a node agent: N of them, each once a second, against a server of this program on the same machine.

    hack/bench/probes.py --kubeconfig F [--probes 500] [--kind http|tcp|mixed] [--seconds 30] [--runtime-class hollow]

Every pod has a readiness and a liveness probe. The CPU of the node agent is taken over `--seconds` while nothing else happens,
and the probes that arrived are counted: an agent that is cheap because it probes late is seen. Works against a kubelet too.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import pods

from nodeagent.api.client import ApiClient


class Target:
    """Answers every connection; counts them."""

    def __init__(self) -> None:
        self.arrived = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.arrived += 1
        try:
            if await reader.read(4096):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


def probe(kind: str, port: int) -> dict[str, Any]:
    address: dict[str, Any] = {"host": "127.0.0.1", "port": port}
    handler = {"httpGet": {**address, "path": "/"}} if kind == "http" else {"tcpSocket": address}
    return {**handler, "periodSeconds": 1, "timeoutSeconds": 1}


async def measure(client: ApiClient, node: str, options: argparse.Namespace) -> dict[str, Any]:
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    readiness, liveness = {"http": ("http", "http"), "tcp": ("tcp", "tcp"), "mixed": ("http", "tcp")}[options.kind]
    bench = pods.Bench(client, options, node)
    async with server, bench.watching():
        names = bench.names("p", options.probes // 2)
        container = {"readinessProbe": probe(readiness, port), "livenessProbe": probe(liveness, port)}
        for name in names:
            await bench.create(name, container)
        await bench.ready(names)
        await asyncio.sleep(5)
        before, arrived = pods.cpu_by_program(), target.arrived
        await asyncio.sleep(options.seconds)
        arrived = target.arrived - arrived
        cores = {
            name: round((sum(after) - sum(before.get(name, (0.0, 0.0)))) / options.seconds * 100, 2)
            for name, after in pods.cpu_by_program().items()
            if name in ("nodeagent", "kubelet")
        }
    return {
        "probes": len(names) * 2,
        "kind": options.kind,
        "arrived_per_second": round(arrived / options.seconds, 1),
        "percent_of_a_core": cores,
    }


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--probes", type=int, default=500)
    parser.add_argument("--kind", choices=("http", "tcp", "mixed"), default="mixed")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--runtime-class", default="")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--image", default="localhost/demo:1")
    parser.add_argument("--command", nargs="+", default=["sleep", "1000000"])
    parser.add_argument("--timeout", type=float, default=300.0)
    parser.add_argument("--no-token", action="store_true", default=True)
    options = parser.parse_args()
    async with pods.connected(options.kubeconfig, "") as (client, node):
        result = await measure(client, node, options)
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    import uvloop

    sys.exit(uvloop.run(main()))
