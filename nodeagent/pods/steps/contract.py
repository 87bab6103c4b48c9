"""What a step of a pod's way is, and what the steps of one pass share.

The way of a pod is the tuple `STEPS` in `nodeagent.pods.steps`; a feature is one file here and one line there. All steps
of a pass run side by side and wait only for the slots they need, so a pod's volumes, image pulls and network do not wait
for each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lightkube.models.core_v1 import Pod

from nodeagent.pods.rules.model import CrashBackoff, Desired, Observed, Plan, StartFailure
from nodeagent.pods.slot import Slot
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.containers import PodUID, uid_of
from nodeagent.volumes.contract import MountedVolume
from runtimes.registry import Runtime


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
    def pod(self) -> Pod:
        return self.desired.pod

    @property
    def uid(self) -> PodUID:
        return uid_of(self.desired.pod)

    @property
    def current_sandbox_id(self) -> str | None:
        """The sandbox found in the runtime that this pass goes on using."""
        if self.plan.create_sandbox is not None or not self.observed.sandboxes:
            return None
        return self.observed.sandboxes[0].id


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

    async def undo(self, teardown: Teardown) -> None: ...


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
