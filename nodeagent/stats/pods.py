"""Statistics of the pods of all runtimes."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nodeagent.stats.pod_cgroups import PodCgroupReader
from proto import cri_pb2 as cri
from runtimes.contract import RuntimeService
from runtimes.errors import NotSupported, RuntimeFault
from runtimes.kube.labels import LABEL_CONTAINER_NAME, LABEL_POD_NAME, LABEL_POD_NAMESPACE, LABEL_POD_UID
from runtimes.registry import Runtime
from runtimes.serve.metrics import RuntimeMetrics, from_statistics, metrics_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStats:
    """`created_ns` 0: not known."""

    name: str
    image: str
    created_ns: int
    stats: cri.ContainerStats


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStats:
    namespace: str
    name: str
    uid: str
    created_ns: int
    stats: cri.PodSandboxStats
    containers: tuple[ContainerStats, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodsSnapshot:
    """`complete`: every runtime answered."""

    pods: tuple[PodStats, ...]
    complete: bool


class PodReader:
    """`cgroups`: for the pods of runtimes that have no statistics of pods."""

    def __init__(self, runtimes: Iterable[Runtime], cgroups: PodCgroupReader) -> None:
        self._runtimes = tuple(runtimes)
        self._cgroups = cgroups

    async def read(self) -> PodsSnapshot:
        """The pods of this node, by namespace and name; a runtime that does not answer is left out."""
        answers = await asyncio.gather(*(self._of(runtime) for runtime in self._runtimes))
        pods = [pod for answer in answers if answer is not None for pod in answer]
        pods.sort(key=lambda pod: (pod.namespace, pod.name, pod.uid))
        return PodsSnapshot(pods=tuple(pods), complete=None not in answers)

    async def metrics(self) -> list[RuntimeMetrics]:
        """What the runtimes measure of them; one that does not answer is left out."""
        answers = await asyncio.gather(*(self._measured(runtime) for runtime in self._runtimes))
        return [metrics for metrics in answers if metrics is not None]

    async def _measured(self, runtime: Runtime) -> RuntimeMetrics | None:
        try:
            try:
                return await metrics_of(runtime.service)
            except NotSupported:
                _, containers, stats = await self._listed(runtime.service)
                return from_statistics(stats, containers)
        except RuntimeFault as error:
            log.warning("runtime %s: no metrics: %s", runtime.handler, error)
            return None

    async def _of(self, runtime: Runtime) -> list[PodStats] | None:
        try:
            sandboxes, containers, stats = await self._listed(runtime.service)
        except RuntimeFault as error:
            log.warning("runtime %s: no statistics: %s", runtime.handler, error)
            return None
        created = {item.id: item.created_at for item in sandboxes}
        known = {item.id: item for item in containers}
        return [
            _pod(item, created[item.attributes.id], known)
            for item in stats
            if item.attributes.id in created and LABEL_POD_UID in item.attributes.labels
        ]

    async def _listed(
        self, service: RuntimeService
    ) -> tuple[Sequence[cri.PodSandbox], Sequence[cri.Container], Sequence[cri.PodSandboxStats]]:
        """What is ready, what runs, and the figures of it. Raises RuntimeFault."""
        ready = cri.PodSandboxFilter()
        ready.state.state = cri.SANDBOX_READY
        running = cri.ContainerFilter()
        running.state.state = cri.CONTAINER_RUNNING
        sandboxes, containers, stats = await asyncio.gather(
            service.list_pod_sandbox(cri.ListPodSandboxRequest(filter=ready)),
            service.list_containers(cri.ListContainersRequest(filter=running)),
            _reported(service),
        )
        if stats is None:
            stats = await self._cgroups.read(service, sandboxes.items, containers.containers)
        return sandboxes.items, containers.containers, stats


async def _reported(service: RuntimeService) -> Sequence[cri.PodSandboxStats] | None:
    """None: the runtime has no such statistics. It is asked each time: a peer may be another after a restart."""
    try:
        return (await service.list_pod_sandbox_stats(cri.ListPodSandboxStatsRequest())).stats
    except NotSupported:
        return None


def _pod(stats: cri.PodSandboxStats, created_ns: int, known: dict[str, cri.Container]) -> PodStats:
    labels = stats.attributes.labels
    containers = [
        ContainerStats(
            name=item.attributes.labels[LABEL_CONTAINER_NAME] or item.attributes.metadata.name,
            image=known[item.attributes.id].image.image,
            created_ns=known[item.attributes.id].created_at,
            stats=item,
        )
        for item in stats.linux.containers
        if item.attributes.id in known
    ]
    containers.sort(key=lambda container: container.name)
    return PodStats(
        namespace=labels[LABEL_POD_NAMESPACE],
        name=labels[LABEL_POD_NAME],
        uid=labels[LABEL_POD_UID],
        created_ns=created_ns,
        stats=stats,
        containers=tuple(containers),
    )
