"""Dynamic resource allocation: the drivers of the node, and the claims they prepare for pods."""

from dataclasses import dataclass

from nodeagent.api.client import ApiClient
from nodeagent.assembly.host import Host
from nodeagent.assembly.running import Scope
from nodeagent.config import Config
from nodeagent.folders import Folders
from nodeagent.metrics.dra import ClaimsInUse, DRAMetrics
from nodeagent.pods.manager_handle import ManagerHandle
from nodeagent.resources.dra.drivers import Drivers
from nodeagent.resources.dra.health import Health
from nodeagent.resources.dra.manager import DRAManager
from nodeagent.resources.dra.slices import Slices
from nodeagent.resources.dra.state import ClaimState
from nodeagent.sources.merger import PodMerger


@dataclass(frozen=True, slots=True)
class DRA:
    """What both halves share: who is here, how the devices are, and the metrics of it."""

    drivers: Drivers
    health: Health
    metrics: DRAMetrics


async def start_dra(scope: Scope, config: Config, host: Host, folders: Folders, client: ApiClient | None) -> DRA:
    """DRA drivers register from here on."""
    health, metrics = Health(folders.root), DRAMetrics(host.metrics)
    health.load()
    drivers = Drivers(
        start=lambda work, name: scope.tasks.create_task(work, name=name),
        health=health,
        slices=Slices(client, config.node_name) if client is not None else None,
        observe=metrics.called,
    )
    scope.tasks.create_task(drivers.run(), name="ResourceSlices of drivers that are gone")
    return DRA(drivers, health, metrics)


async def start_dra_manager(
    scope: Scope,
    host: Host,
    folders: Folders,
    dra: DRA,
    pods: ManagerHandle,
    merger: PodMerger,
    client: ApiClient | None,
) -> DRAManager:
    """Raises BadState."""
    state = ClaimState(folders.root)
    state.load()
    manager = DRAManager(
        client,
        dra.drivers,
        state,
        dra.health,
        known=pods.known_uids,
        ready=lambda: merger.all_seen,
        observe=dra.metrics.operated,
    )
    host.metrics.register(ClaimsInUse(manager.in_use))

    def changed(devices: frozenset[tuple[str, str]]) -> None:
        for uid in manager.pods_with(devices):
            pods.wake(uid)

    scope.loop(lambda: dra.health.run(changed), "health of devices")
    scope.loop(manager.run, "resource claims")
    return manager
