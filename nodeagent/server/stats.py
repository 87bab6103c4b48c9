"""The paths of statistics and metrics."""

import asyncio
import json

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from nodeagent.metrics.probes import ProbeMetrics
from nodeagent.metrics.registry import expose
from nodeagent.metrics.usage import agent_metrics, container_metrics, resource_metrics, runtime_metrics, volume_metrics
from nodeagent.stats.provider import Statistics
from nodeagent.stats.summary import summary

_TEXT = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}


class StatsHandlers:
    """A part of the node's endpoint. `registry`: the agent's own metrics."""

    def __init__(
        self,
        node_name: str,
        statistics: Statistics,
        *,
        registry: CollectorRegistry,
        probes: ProbeMetrics | None = None,
    ) -> None:
        self._node_name = node_name
        self._statistics = statistics
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
        """`only_cpu_and_memory=true` leaves the rest out, and does not look for it."""
        statistics = self._statistics
        if request.query.get("only_cpu_and_memory") == "true":
            node, snapshot = await asyncio.gather(statistics.node(), statistics.pods())
            document = summary(self._node_name, node, snapshot.pods, only_cpu_and_memory=True)
        else:
            node, snapshot, images, volumes = await asyncio.gather(
                statistics.node(), statistics.pods(), statistics.images(), statistics.volumes()
            )
            document = summary(self._node_name, node, snapshot.pods, images=images, volumes=volumes)
        return web.Response(text=json.dumps(document, indent=1), content_type="application/json")

    async def resource(self, request: web.Request) -> web.Response:
        node, snapshot = await asyncio.gather(self._statistics.node(), self._statistics.pods())
        return web.Response(body=expose(resource_metrics(node, snapshot)), headers=_TEXT)

    async def containers(self, request: web.Request) -> web.Response:
        snapshot, told = await asyncio.gather(self._statistics.pods(), self._statistics.measured())
        own = container_metrics(snapshot.pods)
        return web.Response(body=expose([*own, *runtime_metrics(told, own)]), headers=_TEXT)

    async def probes(self, request: web.Request) -> web.Response:
        return web.Response(
            body=expose(self._probe_metrics.collect() if self._probe_metrics is not None else ()), headers=_TEXT
        )

    async def agent(self, request: web.Request) -> web.Response:
        snapshot, volumes = await asyncio.gather(self._statistics.pods(), self._statistics.volumes())
        running = sum(len(pod.containers) for pod in snapshot.pods)
        own = agent_metrics(self._node_name, len(snapshot.pods), running)
        own += volume_metrics(snapshot.pods, volumes)
        return web.Response(body=generate_latest(self._registry) + expose(own), headers=_TEXT)
