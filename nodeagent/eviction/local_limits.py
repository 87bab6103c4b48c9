"""Pods that use more of the node's disk than they may. Pure. Source: docs/facts/node-resources.md 5.3, 5.8."""

from dataclasses import dataclass

from lightkube.models.core_v1 import Volume

from nodeagent.eviction.thresholds import Layout
from nodeagent.eviction.usage import PodUsage
from nodeagent.podspec.effective import amounts, effective_limits
from nodeagent.podspec.pod import AgentPod
from runtimes.kube import quantity

STORAGE = "ephemeral-storage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """`signal`: as the metric of evictions names it."""

    signal: str
    message: str


def has_limits(pod: AgentPod) -> bool:
    """Whether there is anything to measure a pod for."""
    holders = [*pod.spec.containers, *(pod.spec.initContainers or ())]
    return any(STORAGE in amounts(container.resources, "limits") for container in holders) or any(
        _limit(volume) for volume in pod.spec.volumes or ()
    )


def violation(usage: PodUsage, layout: Layout) -> Violation | None:
    """The first of its limits that a pod has exceeded: a volume's, the pod's as a whole, a container's."""
    spec = usage.pod.spec
    for volume in spec.volumes or ():
        limit = _limit(volume)
        if limit and volume.name in usage.volumes and usage.volumes[volume.name].used_bytes > quantity.value(limit):
            text = f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{_canonical(limit)}". '
            return Violation(signal="emptydirfs.limit", message=text)
    whole = effective_limits(spec).get(STORAGE)
    used = usage.layers + usage.logs + usage.local_volumes
    if whole is not None and used.used_bytes > whole:
        text = f"Pod ephemeral local storage usage exceeds the total limit of containers {quantity.from_bytes(int(whole))}. "
        return Violation(signal="ephemeralpodfs.limit", message=text)
    for container in spec.containers:
        own = amounts(container.resources, "limits").get(STORAGE)
        found = usage.containers.get(container.name)
        if own is None or found is None:
            continue
        mine = found.logs if layout is Layout.DEDICATED_IMAGES else found.logs + found.layer
        if mine.used_bytes > own:
            text = f'Container {container.name} exceeded its local ephemeral storage limit "{quantity.from_bytes(int(own))}". '
            return Violation(signal="ephemeralcontainerfs.limit", message=text)
    return None


def _limit(volume: Volume) -> str:
    """sizeLimit of an emptyDir, empty: it has none. 0 is none either."""
    limit = volume.emptyDir.sizeLimit if volume.emptyDir is not None else None
    return limit if limit and quantity.parse(limit) > 0 else ""


def _canonical(limit: str) -> str:
    return quantity.from_bytes(quantity.value(limit))
