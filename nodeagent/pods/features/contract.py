"""What a feature of pods adds to their lives beside the steps: containers that must restart, work of its own, status.

A supervisor asks its features in the order of `PodServices.features`; a feature is one file and one line there. It keeps what it
knows of a pod itself, by UID, until the pod has `ended`.

    updated     the pod's spec is new
    observed    a sync is being planned; what the feature wants of it
    before_stop, then kills and removals, then act, then the steps, then started      in the pass that follows, if any
    status      at every sync, also while work is under way
    ended       nothing of the pod runs any more
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from lightkube.models.core_v1 import PodCondition, ResourceRequirements, ResourceStatus

from nodeagent.pods.rules.model import Observed
from nodeagent.podspec.pod import AgentPod, PodUID
from runtimes.registry import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What a feature wants of the sync that is being planned.

    `restarts`: id of a running container -> message of its Killing event; it is stopped, and starts again whatever the restart
    policy says. `replaced`: ids of containers that were stopped to start again, as far as the feature has a record of it.
    `has_work`: the pass is to call `act`. `wake_at`: when to plan again without an event.
    """

    restarts: Mapping[str, str] = field(default_factory=dict)
    replaced: frozenset[str] = frozenset()
    has_work: bool = False
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAdditions:
    """What a feature knows better than spec and runtime.

    `conditions`: with times, before the agent's own. `resources`: of the pod, in force; None: as allocated.
    `container_resources`: container id -> what it runs with. `health`: container name -> how the resources are that it has for
    itself: of a resource of the spec by its name, of a claim `claim:NAME` or `claim:NAME/REQUEST`
    (docs/facts/node-resources.md 12.1). Whoever gives containers resources tells here, and wakes the pod when it has changed.
    """

    conditions: tuple[PodCondition, ...] = ()
    resources: ResourceRequirements | None = None
    container_resources: Mapping[str, ResourceRequirements] = field(default_factory=dict)
    health: Mapping[str, tuple[ResourceStatus, ...]] = field(default_factory=dict)


class PodFeature:
    """One feature; what it does not override is nothing. All methods belong to the event loop; those that are not `async`
    return at once, and raise nothing: an error there fails the sync, which is logged and tried again. Pods are given as they have
    been allocated.
    """

    name: ClassVar[str]

    def updated(self, pod: AgentPod) -> None:
        """The pod has a new spec: what was put off may be tried at once. Called before the sync that sees it."""

    def observed(self, pod: AgentPod, observed: Observed) -> Contribution:
        """What the feature wants of the sync that is being planned. `observed`: what the runtime holds of the pod.

        Called only while no work on the pod is under way; the answer is carried out by one pass, or asked for again.
        """
        return Contribution()

    def status(self, pod: AgentPod) -> StatusAdditions:
        """What the feature knows for the pod's status. Called at every sync, also while work is under way; from memory."""
        return StatusAdditions()

    async def before_stop(self, pod: AgentPod, stopped: Mapping[str, str]) -> None:
        """Containers (name -> id) are about to be stopped to start again; those that the feature itself restarts among them, or
        stopped already. Raises what it likes: the pass ends before anything is stopped, and is tried again after a back-off.
        """

    async def act(self, runtime: Runtime, pod: AgentPod, observed: Observed) -> None:
        """Do the work that the last contribution announced, on the pod's containers in `runtime`, which are as `observed` says.

        What cannot be done is the feature's to try again, and to report in the status; RuntimeFault ends the pass.
        """

    def started(self, pod: AgentPod, names: Iterable[str]) -> None:
        """These containers have been started, with the pod's resources, in a cgroup that has its limits."""

    def ended(self, uid: PodUID) -> None:
        """Nothing of the pod runs any more, nor will: the feature drops what it keeps of it."""
