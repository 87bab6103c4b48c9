"""One agent of a fleet."""

import asyncio
import contextlib
import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from lightkube.models.core_v1 import Taint

from nodeagent.api.acting import ActingSender, as_node
from nodeagent.api.client import Sender
from nodeagent.api.transport import Transport
from nodeagent.assembly.board import Board
from nodeagent.assembly.host import Host
from nodeagent.assembly.running import RunningParts
from nodeagent.config import Config, Options
from nodeagent.config.agent import NodeAgentConfiguration, RuntimeSettings
from nodeagent.config.kubelet import KubeletConfiguration
from nodeagent.config.values import FilePath
from nodeagent.hollow.calls import ApiCalls
from nodeagent.hollow.machine import hollow_host
from nodeagent.hollow.parts import HANDLER, Sight, hollow_parts
from nodeagent.hollow.settings import FLEET_LABEL, TAINT, FleetSettings
from nodeagent.node.facts import Machine
from nodeagent.pods.manager_handle import ManagerHandle
from runtimes.hollow.runtime import HollowSettings

LEAST_PODS = 110  # a kubelet's own maximum
SPARE_PODS = 10  # beside the fleet's own: those of DaemonSets, and of whoever tries something


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the nodes of a fleet share. `port`: of their endpoint. `turns`: so many start at once."""

    transport: Transport
    machine: Machine
    node_ip: str
    port: int
    directory: Path
    calls: ApiCalls
    turns: asyncio.Semaphore


class HollowNode:
    """`run` is its life; `sight` is what is to be seen of it meanwhile. `own_pods`: how many the fleet makes on it."""

    def __init__(self, name: str, settings: FleetSettings, site: Site, *, own_pods: int) -> None:
        self.name = name
        self.own_pods = own_pods
        self.sight = Sight()
        self._settings = settings
        self._site = site

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises what an agent ends by."""
        async with contextlib.AsyncExitStack() as stack:
            async with self._site.turns:
                parts = await stack.enter_async_context(self._agent())
            await parts.until(stop)

    def _agent(self) -> RunningParts:
        settings, site = self._settings, self._site
        host = hollow_host(
            self.name,
            site.machine,
            cpus=settings.cpus,
            memory_bytes=settings.memory_bytes,
            now=lambda: datetime.now(UTC),
        )
        board = Board(host.now)
        headers = as_node(self.name) if settings.as_nodes else ()
        given: dict[type, object] = {
            Config: node_config(self.name, settings, site),
            Host: host,
            Board: board,
            ManagerHandle: ManagerHandle(),
            Sender: ActingSender(site.transport, headers, site.calls.heard),
            Sight: self.sight,
        }
        return RunningParts(hollow_parts(), given, board)


def node_config(name: str, settings: FleetSettings, site: Site) -> Config:
    """As if a file said so."""
    directory = site.directory / name
    kubelet = KubeletConfiguration(
        maxPods=max(LEAST_PODS, settings.most_pods + SPARE_PODS),
        podLogsDir=FilePath(str(directory / "logs")),
        registerWithTaints=[Taint(key=TAINT, effect="NoSchedule")] if settings.taint else [],
        enableServer=False,  # one endpoint is that of all
        port=site.port,
        failSwapOn=False,
    )
    runtime = RuntimeSettings(type=HANDLER, options=runtime_options(settings.runtime, name))
    options = Options(
        kubeconfig=settings.kubeconfig,
        root_dir=directory,
        state_dir=directory,
        run_dir=directory,
        container_logs_dir=directory / "containers",
        node_name=name,
        node_ip=site.node_ip,
        node_labels=((FLEET_LABEL, settings.name),),
    )
    return Config(
        options=options,
        kubelet=kubelet,
        agent=NodeAgentConfiguration(runtimes={HANDLER: runtime}, defaultRuntime=HANDLER),
    )


def runtime_options(runtime: HollowSettings, name: str) -> dict[str, Any]:
    """Every node has a seed of its own, of the fleet's and its name."""
    options: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(runtime, seed=f"{runtime.seed}/{name}"))
    return options
