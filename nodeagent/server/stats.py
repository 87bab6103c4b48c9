"""The paths of statistics and metrics."""

import asyncio

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry

from nodeagent.metrics.cadvisor import Measured, cadvisor_page
from nodeagent.metrics.health import HealthMetrics
from nodeagent.metrics.machine import MachineMetrics
from nodeagent.metrics.probes import ProbeMetrics
from nodeagent.metrics.registry import expose, registered
from nodeagent.metrics.usage import agent_metrics, log_metrics, resource_metrics, volume_metrics
from nodeagent.node.facts import Machine
from nodeagent.stats.provider import Statistics
from nodeagent.stats.summary import Disks, summary

_TEXT = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}


class StatsHandlers:
    """A part of the node's endpoint. `registry`: the agent's own metrics."""

    def __init__(
        self,
        node_name: str,
        statistics: Statistics,
        machine: Machine,
        *,
        registry: CollectorRegistry,
        probes: ProbeMetrics | None = None,
        health: HealthMetrics | None = None,
    ) -> None:
        self._node_name = node_name
        self._statistics = statistics
        self._machine = MachineMetrics(machine)
        self._registry = registry
        self._probe_metrics = probes
        self._health = health or HealthMetrics()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/stats/summary", self.summary),
            web.post("/stats/summary", self.summary),
            web.get("/metrics", self.agent),
            web.get("/metrics/resource", self.resource),
            web.get("/metrics/cadvisor", self.containers),
            web.get("/metrics/probes", self.probes),
            web.get("/metrics/slis", self.slis),
        ]

    async def summary(self, request: web.Request) -> web.Response:
        """`only_cpu_and_memory=true` leaves the rest out, and does not look for it."""
        statistics = self._statistics
        disks = None
        node, groups, snapshot = await asyncio.gather(statistics.node(), statistics.groups(), statistics.pods())
        if request.query.get("only_cpu_and_memory") != "true":
            images, volumes, files = await asyncio.gather(statistics.images(), statistics.volumes(), statistics.files())
            disks = Disks(images=images, volumes=volumes, files=files)

        def written() -> bytes:
            return msgspec.json.encode(summary(self._node_name, node, groups.named, snapshot.pods, disks))

        return web.Response(body=await asyncio.to_thread(written), content_type="application/json")

    async def resource(self, request: web.Request) -> web.Response:
        node, snapshot = await asyncio.gather(self._statistics.node(), self._statistics.pods())
        # beside the event loop: of many pods the text is long, and they have other things to wait for
        body = await asyncio.to_thread(lambda: expose(resource_metrics(node, snapshot)))
        return web.Response(body=body, headers=_TEXT)

    async def containers(self, request: web.Request) -> web.Response:
        ask = self._statistics
        node, pods, told, groups, paths = await asyncio.gather(
            ask.node(), ask.pods(), ask.measured(), ask.groups(), ask.cgroup_paths()
        )
        measured = Measured(node=node, pods=pods, told=told, groups=groups, paths=paths)
        return web.Response(body=await asyncio.to_thread(cadvisor_page, measured, self._machine), headers=_TEXT)

    async def probes(self, request: web.Request) -> web.Response:
        return web.Response(
            body=expose(self._probe_metrics.collect() if self._probe_metrics is not None else ()), headers=_TEXT
        )

    async def slis(self, request: web.Request) -> web.Response:
        return web.Response(body=self._health.text(), headers=_TEXT)

    async def agent(self, request: web.Request) -> web.Response:
        ask = self._statistics
        snapshot, volumes, files = await asyncio.gather(ask.pods(), ask.volumes(), ask.files())
        running = sum(len(pod.containers) for pod in snapshot.pods)
        own = agent_metrics(self._node_name, len(snapshot.pods), running)
        own += [*volume_metrics(snapshot.pods, volumes), *log_metrics(snapshot.pods, files)]
        return web.Response(body=registered(self._registry) + expose(own), headers=_TEXT)
