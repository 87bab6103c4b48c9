"""What a step of a pod's way is, and what the steps of one pass share.

The way of a pod is the tuple `STEPS` in `nodeagent.pods.steps`; a feature is one file here and one line there. All steps
of a pass run side by side and wait only for the slots they need, so a pod's volumes, image pulls and network do not wait
for each other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from nodeagent.pods.rules.model import CrashBackoff, Desired, Observed, Plan, StartFailure
from nodeagent.pods.slot import Slot
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.volumes.contract import MountedVolume
from runtimes.errors import Unavailable
from runtimes.registry import Runtime


class PodEvents(Protocol):
    """Where a pod's events go. Never blocks."""

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None: ...


@dataclass(slots=True)
class Work:
    """One pass over one pod: what is wanted, what was found, and the slots that the steps fill for each other."""

    desired: Desired
    observed: Observed
    plan: Plan
    runtime: Runtime
    cgroup_parent: Slot[str] = field(default_factory=lambda: Slot("cgroup"))
    mounts: Slot[Mapping[str, MountedVolume]] = field(default_factory=lambda: Slot("volumes"))
    sandbox_id: Slot[str] = field(default_factory=lambda: Slot("sandbox"))
    pod_ips: Slot[tuple[str, ...]] = field(default_factory=lambda: Slot("network"))
    failures: dict[str, StartFailure] = field(default_factory=dict)
    retry_seconds: dict[str, float] = field(
        default_factory=dict
    )  # when another reason than a crash holds a container back
    started: dict[str, CrashBackoff | None] = field(default_factory=dict)

    @property
    def pod(self) -> AgentPod:
        return self.desired.pod

    @property
    def uid(self) -> PodUID:
        return self.desired.pod.uid

    @property
    def current_sandbox_id(self) -> str | None:
        """The sandbox found in the runtime that this pass goes on using."""
        if self.plan.create_sandbox is not None or not self.observed.sandboxes:
            return None
        return self.observed.sandboxes[0].id


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A pod that ends. `grace_seconds` bounds what its containers may still do; `runtimes` all may hold parts of it.

    `handler` is the pod's own runtime, empty where it is not known.
    """

    pod: AgentPod
    uid: PodUID
    grace_seconds: int
    runtimes: tuple[Runtime, ...]
    keep_records: bool  # the pod object stays (completed, not deleted): its logs and dead containers stay readable
    handler: str = ""

    async def in_each(self, work: Callable[[Runtime, "Ending"], Awaitable[None]]) -> None:
        """Do `work` in every runtime, side by side.

        One that is down must not hold up a pod of another: where the pod's own is known, the rest is passed over when it
        cannot be reached. What it may hold of the pod all the same is an orphan as soon as it is back.
        """

        async def one(runtime: Runtime) -> None:
            try:
                await work(runtime, self)
            except Unavailable:
                if self.handler in ("", runtime.handler):
                    raise

        await asyncio.gather(*(one(runtime) for runtime in self.runtimes))


class Step(Protocol):
    """One step. It is idempotent: a pass that finds its work done already provides the same slots.

    `deadline_seconds` bounds `run` (None: the step bounds itself). `run` is cancelled when the pod is to end; it may shield
    what must not stay half done. `undo` is safe without `run` and after half of it, and may be repeated.
    """

    @property
    def name(self) -> str: ...

    @property
    def deadline_seconds(self) -> float | None: ...

    @property
    def runs_processes(self) -> bool:
        """Its undo ends processes, and must succeed before anything of the others is given back."""
        ...

    def provides(self, work: Work) -> tuple[Slot[str] | Slot[Mapping[str, MountedVolume]] | Slot[tuple[str, ...]], ...]:
        """The slots that fail when this step does."""
        ...

    async def run(self, work: Work) -> None: ...

    async def undo(self, ending: Ending) -> None: ...


class Gate(Protocol):
    """What must hold before the steps of a pass begin. Asked in every pass, in the order of the list; the first that fails ends
    the pass with its error, and none of the steps has run.
    """

    @property
    def name(self) -> str: ...

    @property
    def deadline_seconds(self) -> float: ...

    async def check(self, work: Work) -> None:
        """Returns at once where it has nothing to say. Raises `engine.StepError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPaths:
    """Where a pod's files are on this node."""

    root_dir: Path  # /var/lib/kubelet
    pod_logs_dir: Path  # /var/log/pods
    container_logs_dir: Path  # /var/log/containers

    def pod_dir(self, uid: PodUID) -> Path:
        return self.root_dir / "pods" / uid

    def log_dir(self, namespace: str, name: str, uid: PodUID) -> Path:
        return self.pod_logs_dir / f"{namespace}_{name}_{uid}"
