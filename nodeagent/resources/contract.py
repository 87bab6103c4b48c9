"""What a resource manager is: CPUs, memory and devices are given to containers of their own by one each.

    hints      where a container's resources could be, by NUMA node (`placement.py`): pure, of what is free now
    allocate   give them; a container that has them keeps them, also across a restart of the agent
    release    the pod is gone, or was refused after all
    save       what was given and taken back is on the disk

`assignments.Assignments` calls them, for one pod after the other. Source: docs/facts/node-resources.md 11, 12.1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lightkube.models.core_v1 import Container

from nodeagent.podspec.pod import AgentPod, PodUID
from proto import cri_pb2 as cri

UNEXPECTED = "UnexpectedAdmissionError"


class CannotAssign(Exception):
    """The node does not take the pod. `reason` and text: of its refusal."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message if reason else f"Allocate failed due to {message}, which is unexpected")
        self.reason = reason or UNEXPECTED


class CannotPrepare(Exception):
    """What a container was given cannot be used now. The text: of its waiting state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Resources could be had from these NUMA nodes together. `nodes` None: from any. `preferred`: from no fewer nodes."""

    nodes: frozenset[int] | None = None
    preferred: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """What a container has for itself, as its configuration takes it.

    `cpus`, `memory_nodes`: lists as the kernel writes them; empty: all. `exclusive_cpus`: nobody else runs on these CPUs. The
    rest is what plugins want for their devices; what the pod itself says of the same variable or annotation wins.
    """

    cpus: str = ""
    memory_nodes: str = ""
    exclusive_cpus: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[cri.Mount, ...] = ()
    devices: tuple[cri.Device, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    cdi_names: tuple[str, ...] = ()


# By resource: where it could be had; None: anywhere, as far as the manager cares; empty: nowhere.
Hints = Mapping[str, Sequence[Hint] | None]

ANYWHERE = Hint()
NOTHING = Assigned()


class ResourceManager(Protocol):
    """One kind of resource."""

    def concerns(self, pod: AgentPod) -> bool:
        """Whether any container of the pod is to be given something. Raises nothing."""
        ...

    def hints(self, pod: AgentPod, containers: Sequence[Container]) -> Hints:
        """Where what these containers need together could be had: one container, or all of the pod's. Raises nothing."""
        ...

    async def allocate(self, pod: AgentPod, container: Container, hint: Hint) -> None:
        """Give the container what it needs, from the nodes of `hint` first. Raises CannotAssign."""
        ...

    def release(self, uid: PodUID) -> None:
        """Take back what the pod's containers have. Nothing there is fine. Raises nothing."""
        ...

    def holders(self) -> frozenset[PodUID]:
        """The pods that have something. Raises nothing."""
        ...

    async def save(self) -> None:
        """Have on the disk what was given and taken back before the call. Raises OSError: it may be called again."""
        ...
