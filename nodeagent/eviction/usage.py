"""What one pod uses of what a node can become short of, as values. Pure. Source: docs/facts/node-resources.md 5.5, 5.8."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nodeagent.podspec.pod import AgentPod
from nodeagent.stats.disk_usage import NOTHING, DiskUsage
from nodeagent.stats.volumes import is_local


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUsage:
    """`memory_bytes`: its working set; None: not known."""

    memory_bytes: int | None = None
    layer: DiskUsage = NOTHING
    logs: DiskUsage = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class PodUsage:
    """`known` False: nobody has statistics of it. `volumes`: those that are measured, by name.

    `files`: what the agent keeps for it beside its containers' logs, its hosts file for one.
    """

    pod: AgentPod
    known: bool = True
    memory_bytes: int = 0
    processes: int = 0
    containers: Mapping[str, ContainerUsage] = field(default_factory=dict)
    volumes: Mapping[str, DiskUsage] = field(default_factory=dict)
    files: DiskUsage = NOTHING

    @property
    def layers(self) -> DiskUsage:
        return sum((container.layer for container in self.containers.values()), NOTHING)

    @property
    def logs(self) -> DiskUsage:
        return sum((container.logs for container in self.containers.values()), NOTHING)

    @property
    def local_volumes(self) -> DiskUsage:
        """Of the volumes those that take room on the node's own disk and go with the pod; and its files: it may fill them."""
        local = (volume.name for volume in self.pod.spec.volumes or () if is_local(volume))
        return sum((self.volumes[name] for name in local if name in self.volumes), self.files)
