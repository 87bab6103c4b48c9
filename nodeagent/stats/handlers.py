"""The paths of statistics and metrics."""

import asyncio
import json
from pathlib import Path

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from nodeagent.stats.metrics import agent_metrics, container_metrics, expose, resource_metrics, runtime_metrics
from nodeagent.stats.node import Filesystem, NodeReader, filesystem
from nodeagent.stats.pods import PodReader
from nodeagent.stats.probes import ProbeMetrics
from nodeagent.stats.summary import summary

_TEXT = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}


class StatsHandlers:
    """A part of the node's endpoint. `images_dir`: where images are kept; `registry`: the agent's own metrics."""

    def __init__(
        self,
        node_name: str,
        node: NodeReader,
        pods: PodReader,
        *,
        images_dir: Path | None = None,
        registry: CollectorRegistry = REGISTRY,
        probes: ProbeMetrics | None = None,
    ) -> None:
        self._node_name = node_name
        self._node = node
        self._pods = pods
        self._images_dir = images_dir
        self._registry = registry
        self._probe_metrics = probes

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/stats/summary", self.summary),
            web.post("/stats/summary", self.summary),
            web.get("/metrics", self.agent),
            web.get("/metrics/resource", self.resource),
            web.get("/metrics/cadvisor", self.containers),
            web.get("/metrics/probes", self.probes),
        ]

    async def summary(self, request: web.Request) -> web.Response:
        """`only_cpu_and_memory=true` leaves the rest out."""
        small = request.query.get("only_cpu_and_memory") == "true"
        node, snapshot = await asyncio.gather(asyncio.to_thread(self._node.read), self._pods.read())
        document = summary(self._node_name, node, snapshot.pods, self._images(), only_cpu_and_memory=small)
        return web.Response(text=json.dumps(document, indent=1), content_type="application/json")

    async def resource(self, request: web.Request) -> web.Response:
        node, snapshot = await asyncio.gather(asyncio.to_thread(self._node.read), self._pods.read())
        return web.Response(body=expose(resource_metrics(node, snapshot)), headers=_TEXT)

    async def containers(self, request: web.Request) -> web.Response:
        snapshot, told = await asyncio.gather(self._pods.read(), self._pods.metrics())
        own = container_metrics(snapshot.pods)
        return web.Response(body=expose([*own, *runtime_metrics(told, own)]), headers=_TEXT)

    async def probes(self, request: web.Request) -> web.Response:
        return web.Response(
            body=expose(self._probe_metrics.collect() if self._probe_metrics is not None else ()), headers=_TEXT
        )

    async def agent(self, request: web.Request) -> web.Response:
        snapshot = await self._pods.read()
        running = sum(len(pod.containers) for pod in snapshot.pods)
        own = expose(agent_metrics(self._node_name, len(snapshot.pods), running))
        return web.Response(body=generate_latest(self._registry) + own, headers=_TEXT)

    def _images(self) -> Filesystem | None:
        return filesystem(self._images_dir) if self._images_dir is not None else None
