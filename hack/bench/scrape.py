#!/usr/bin/env python3
"""What it costs a node agent to be scraped: every page of statistics and metrics, at N pods.

    hack/bench/scrape.py --kubeconfig F [--pods 250] [--rounds 10] [--runtime-class hollow]

A round asks for /stats/summary, /metrics/resource, /metrics/cadvisor, /metrics/probes and /metrics by way of the API, all at
once, and tells the CPU time that the agent says it took; so does each page alone. Before each there is time enough for figures
to be taken anew. Meanwhile the node's /healthz is asked every 20 ms: as long as that waits, a pod would. Works against a
kubelet too.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import pods

from nodeagent.api.client import ApiClient

PAGES = ("/stats/summary", "/metrics/resource", "/metrics/cadvisor", "/metrics/probes", "/metrics")
_PAUSE_SECONDS = 1.5


class Scraper:
    def __init__(self, client: ApiClient, node: str) -> None:
        self._client = client
        self._base = f"/api/v1/nodes/{node}/proxy"
        self.sizes: dict[str, int] = {}

    async def page(self, path: str) -> None:
        self.sizes[path] = len(await self._client.request("GET", self._base + path, accept="*/*"))

    async def cost(self, *paths: str) -> float:
        """The agent's CPU seconds for these pages, asked for at once."""
        before = await self._cpu_seconds()
        await asyncio.sleep(_PAUSE_SECONDS)
        await asyncio.gather(*(self.page(path) for path in paths))
        return await self._cpu_seconds() - before

    async def _cpu_seconds(self) -> float:
        text = await self._client.request("GET", f"{self._base}/metrics", accept="*/*")
        (line,) = (line for line in text.decode().splitlines() if line.startswith("process_cpu_seconds_total "))
        return float(line.split()[1])

    async def waits(self, found: list[float]) -> None:
        while True:
            began = time.perf_counter()
            await self._client.request("GET", f"{self._base}/healthz", accept="*/*")
            found.append(time.perf_counter() - began)
            await asyncio.sleep(0.02)


async def scrape(client: ApiClient, node: str, rounds: int) -> dict[str, Any]:
    scraper = Scraper(client, node)
    await scraper.cost(*PAGES)  # the first counts what nobody has counted yet
    own = statistics.median([await scraper.cost() for _ in range(5)])  # of the counter's own page, and of doing nothing
    apart = {path: round(statistics.median([await scraper.cost(path) for _ in range(3)]) - own, 3) for path in PAGES}
    together = [await scraper.cost(*PAGES) - own for _ in range(rounds)]
    waits: list[float] = []
    watching = asyncio.create_task(scraper.waits(waits))
    for _ in range(rounds):
        await scraper.cost(*PAGES)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    return {
        "cpu_seconds_of_all_pages": {"median": round(statistics.median(together), 3), "max": round(max(together), 3)},
        "cpu_seconds_of_one_page": apart,
        "cpu_seconds_of_the_counter": round(own, 3),
        "bytes": scraper.sizes,
        "healthz_ms": {
            "median": round(statistics.median(waits) * 1000, 1),
            "p99": round(statistics.quantiles(waits, n=100)[98] * 1000, 1),
            "max": round(max(waits) * 1000, 1),
        },
    }


async def measure(client: ApiClient, node: str, options: argparse.Namespace) -> dict[str, Any]:
    bench = pods.Bench(client, options, node)
    async with bench.watching():
        names = bench.names("p", options.pods)
        for name in names:
            await bench.create(name)
        await bench.ready(names)
        await asyncio.sleep(5)
        return {"pods": len(names), **await scrape(client, node, options.rounds)}


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--pods", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--runtime-class", default="")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--image", default="localhost/demo:1")
    parser.add_argument("--command", nargs="+", default=["sleep", "1000000"])
    parser.add_argument("--timeout", type=float, default=300.0)
    parser.set_defaults(no_token=True)
    options = parser.parse_args()
    async with pods.connected(options.kubeconfig, "") as (client, node):
        result = await measure(client, node, options)
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    import uvloop

    sys.exit(uvloop.run(main()))
