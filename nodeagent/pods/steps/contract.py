"""What a step of a pod's start is, and what the steps of one pass share.

The steps of a pod's start are the tuple that `nodeagent.pods.steps.pod_steps` returns; a feature that makes something for a pod
is one file here and one line there. All steps of a pass run side by side and wait only for the slots they need, so a pod's
volumes, image pulls and network do not wait for each other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Literal, Protocol

from typing_extensions import override

from nodeagent.images.manager import EnsuredImage
from nodeagent.pods.rules.model import CrashBackoff, Desired, Observed, Plan, StartFailure
from nodeagent.pods.slot import Slot
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.containers import ContainerKind
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.resources.contract import Assigned
from nodeagent.volumes.contract import MountedVolume
from proto import cri_pb2 as cri
from runtimes.registry import Runtime

# Fields of `SyncPass` that a step may fill. Those that hold a slot for each container to be started are filled one by one.
SlotName = Literal["cgroup_parent", "mounts", "images", "assigned", "sandbox_id", "pod_ips", "created"]


class StepError(Exception):
    """A step failed. `event_reason` is the reason of the Warning event, with the text as its message; empty: no event.

    `rejection`: the pod cannot run here; the reason with which it fails. Empty: it is tried again.
    """

    def __init__(
        self, message: str, *, event_reason: str = "", retry_seconds: float | None = None, rejection: str = ""
    ) -> None:
        super().__init__(message)
        self.event_reason = event_reason
        self.retry_seconds = retry_seconds
        self.rejection = rejection


class StartError(Exception):
    """One container could not be started; what its status shows, and when to try again (None: as usual)."""

    def __init__(self, reason: str, message: str, *, event_text: str = "", retry_seconds: float | None = None) -> None:
        super().__init__(message)
        self.failure = StartFailure(reason=reason, message=message)
        self.event_text = event_text or message
        self.retry_seconds = retry_seconds


@dataclass(frozen=True, slots=True)
class ContainerImages:
    """What a container is made from: its own image, and by name of the volume those that it mounts."""

    image: EnsuredImage
    volumes: Mapping[str, cri.ImageSpec] = field(default_factory=dict)


@dataclass(slots=True)
class SyncPass:
    """One pass over one pod: what is wanted, what was found, and the slots that the steps fill for each other.

    A container's slot fails with the StartError that keeps it from being started.
    """

    desired: Desired
    observed: Observed
    plan: Plan
    runtime: Runtime
    cgroup_parent: Slot[str] = field(default_factory=lambda: Slot("cgroup"))
    mounts: Slot[Mapping[str, MountedVolume]] = field(default_factory=lambda: Slot("volumes"))
    sandbox_id: Slot[str] = field(default_factory=lambda: Slot("sandbox"))
    pod_ips: Slot[tuple[str, ...]] = field(default_factory=lambda: Slot("network"))
    images: dict[str, Slot[ContainerImages]] = field(init=False)  # by container name
    assigned: dict[str, Slot[Assigned]] = field(init=False)  # by container name
    created: dict[str, Slot[str]] = field(init=False)  # container ids, by container name
    failures: dict[str, StartFailure] = field(default_factory=dict)
    retry_seconds: dict[str, float] = field(
        default_factory=dict
    )  # when another reason than a crash holds a container back
    started: dict[str, CrashBackoff | None] = field(default_factory=dict)
    hooked: set[str] = field(default_factory=set)  # ids of containers that run, and whose postStart hook has not ended

    def __post_init__(self) -> None:
        names = [start.name for start in self.plan.start]
        self.images = {name: Slot(f"image of {name}") for name in names}
        self.assigned = {name: Slot(f"devices of {name}") for name in names}
        self.created = {name: Slot(name) for name in names}

    @property
    def pod(self) -> AgentPod:
        """The pod as it is wanted."""
        return self.desired.pod

    @property
    def uid(self) -> PodUID:
        """The pod's UID: in names of cgroups and folders."""
        return self.desired.pod.uid

    @property
    def current_sandbox_id(self) -> str | None:
        """The sandbox found in the runtime that this pass goes on using."""
        if self.plan.create_sandbox is not None or not self.observed.sandboxes:
            return None
        return self.observed.sandboxes[0].id

    def withhold(self, names: Iterable[SlotName]) -> None:
        """Fail what has not been filled of these: it will not come any more. Raises nothing."""
        for name in names:
            found: Slot[Any] | dict[str, Slot[Any]] = getattr(self, name)
            for slot in found.values() if isinstance(found, dict) else (found,):
                slot.fail()


class UndoPhase(Enum):
    """When a step is undone: a phase begins when all of the one before has succeeded."""

    STOP = "what runs ends"
    GIVE_BACK = "others may have it as soon as they read that the pod has ended, which is told afterwards"
    RELEASE = "all else"


class Step:
    """One step; what it does not override is nothing. It is idempotent: a pass that finds its work done already provides the
    same slots.

    `deadline_seconds` bounds `run` (None: the step bounds itself). `provides`: the slots that fail when it ends without having
    filled them. `undone`: when its undo comes.
    """

    name: ClassVar[str]
    deadline_seconds: ClassVar[float | None] = None
    provides: ClassVar[tuple[SlotName, ...]] = ()
    undone: ClassVar[UndoPhase] = UndoPhase.RELEASE

    async def run(self, work: SyncPass) -> None:
        """Make what the pod needs. Cancelled when the pod is to end; what must not stay half done it carries to its end.

        Raises StepError; NotProvided where a slot that it needs will not be filled.
        """

    async def undo(self, teardown: Teardown) -> None:
        """Give back what `run` made. Safe without `run` and after half of it, and may be repeated.

        May raise anything: the engine goes on with the other steps, collects the errors, and calls again later.
        """


class Gate(Protocol):
    """What must hold before the steps of a pass begin. Asked in every pass, in the order of the list; the first that fails ends
    the pass with its error, and none of the steps has run.
    """

    @property
    def name(self) -> str:
        """In logs, metrics and /debug/pods."""
        ...

    @property
    def deadline_seconds(self) -> float:
        """How long `check` may take; after that it is cancelled, and counts as failed."""
        ...

    async def check(self, work: SyncPass) -> None:
        """Returns at once where it has nothing to say. Raises StepError."""
        ...


class StartObserver(Protocol):
    """Counts attempts to start pods and containers. Called on the event loop; returns at once and raises nothing.

    Source: docs/facts/node-resources.md 7.4 (started_pods_total and its neighbours).
    """

    def pod(self) -> None:
        """A sandbox is about to be made."""
        ...

    def pod_failed(self) -> None:
        """The sandbox could not be made."""
        ...

    def container(self, kind: ContainerKind) -> None:
        """A container of a pod that has its sandbox is about to be started."""
        ...

    def container_failed(self, kind: ContainerKind, reason: str) -> None:
        """The container could not be started. `reason`: of its waiting state."""
        ...


class NoStartObserver(StartObserver):
    """Counts nothing."""

    @override
    def pod(self) -> None:
        return

    @override
    def pod_failed(self) -> None:
        return

    @override
    def container(self, kind: ContainerKind) -> None:
        return

    @override
    def container_failed(self, kind: ContainerKind, reason: str) -> None:
        return
