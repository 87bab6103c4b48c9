"""In-place resize as a feature of pods: puts in force what has been allocated, and tells how far that is.

Containers that can take their new resources while they run get them in `act`; the others restart. Which of them are between two
of their instances, for a resize or for any other reason, is on the disk before they stop. Source:
docs/facts/pod-lifecycle.md 4.7.
"""

import dataclasses
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import ClassVar

import msgspec
from lightkube.models.core_v1 import ResourceRequirements
from typing_extensions import override

from nodeagent.api.events import Events
from nodeagent.pods.features.contract import Contribution, PodFeature, StatusAdditions
from nodeagent.pods.resize import messages
from nodeagent.pods.resize.actuation import Actuation, Actuator, ResizeFailed
from nodeagent.pods.resize.allocation import merged, pod_level, resources_of, same_resources
from nodeagent.pods.resize.changes import Actuated, ActuatedContainer, Due, LiveChange, due, recollected
from nodeagent.pods.resize.generations import generation as generation_of
from nodeagent.pods.resize.records import ResizeRecords
from nodeagent.pods.rules.model import Observed
from nodeagent.pods.sync_backoff import jittered
from nodeagent.pods.translation.resources import HostLimits
from nodeagent.podspec.effective import aggregated, as_quantities
from nodeagent.podspec.pod import AgentPod, PodUID
from runtimes.registry import Runtime

log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0  # after what could not be put in force, times 1.0 to 1.5
NOTHING_DUE = Due()


class InPlaceResize(PodFeature):
    """For all pods. What is decided meanwhile reaches the supervisors as another spec (`resizes.Resizes`)."""

    name: ClassVar[str] = "resize"

    def __init__(
        self,
        records: ResizeRecords,
        actuator: Actuator,
        host: HostLimits,
        events: Events,
        now: Callable[[], datetime],
    ) -> None:
        self._records = records
        self._actuator = actuator
        self._host = host
        self._events = events
        self._now = now
        self._due: dict[PodUID, Due] = {}  # of the sync that is being planned or carried out
        self._held_until: dict[PodUID, datetime] = {}  # something could not be put in force: no other try before

    @override
    def updated(self, pod: AgentPod) -> None:
        self._held_until.pop(pod.uid, None)  # whoever changed it may have fixed what was wrong

    @override
    def observed(self, pod: AgentPod, observed: Observed) -> Contribution:
        uid = pod.uid
        found = self._look(pod, observed)
        held_until = self._held_until.get(uid)
        if held_until is not None and held_until <= self._now():
            del self._held_until[uid]
            held_until = None
        self._due[uid] = found if held_until is None or found.restarts else NOTHING_DUE
        return Contribution(
            restarts={id: f"Container {name} resize requires restart" for name, id in found.restarts.items()},
            replaced=frozenset((*found.restarts.values(), *found.replacing.values())),
            has_work=bool(self._due[uid]),
            wake_at=held_until,
        )

    def _look(self, pod: AgentPod, observed: Observed) -> Due:
        """What is to be put in force now; begins or ends PodResizeInProgress."""
        uid = pod.uid
        conditions = self._records.conditions_of(uid)
        in_progress = conditions.in_progress
        known = recollected(pod, observed, self._records.in_force(uid), self._host, in_progress=in_progress is not None)
        if uid in self._records.wanted:
            self._records.actuated.set(uid, known)
        found = due(pod, observed, known)
        if found and in_progress is None:
            self._records.conditions[uid] = conditions.with_in_progress(generation_of(pod), self._now())
        elif not found and in_progress is not None:
            self._records.conditions[uid] = dataclasses.replace(conditions, in_progress=None)
            generation = in_progress.observedGeneration or 0
            self._events.event(pod, "Normal", messages.COMPLETED, messages.completed(pod, generation))
            self._records.wake()  # what it gave back may be what another one waits for
        return found

    @override
    def status(self, pod: AgentPod) -> StatusAdditions:
        uid = pod.uid
        return StatusAdditions(
            conditions=self._records.conditions_of(uid).listed(),
            resources=self._actual(pod),
            container_resources={
                item.id: item.resources for item in self._records.in_force(uid).containers.values() if item.id
            },
        )

    def _actual(self, pod: AgentPod) -> ResourceRequirements | None:
        level = self._records.in_force(pod.uid).pod
        if level is None or same_resources(level, pod_level(pod)):
            return None
        everything = ResourceRequirements(
            requests=as_quantities(aggregated(pod.spec, "requests")) or None,
            limits=as_quantities(aggregated(pod.spec, "limits")) or None,
        )
        return merged(everything, level)

    @override
    async def before_stop(self, pod: AgentPod, stopped: Mapping[str, str]) -> None:
        uid = pod.uid
        restarts = self._due.get(uid, NOTHING_DUE).restarts
        known = self._records.in_force(uid)
        others = {**known.replacing, **stopped}
        self._records.actuated.set(
            uid,
            msgspec.structs.replace(known, restarting=dict(restarts), replacing=_without(others, restarts)),
        )
        try:
            await self._records.actuated.flush()
        except OSError as error:
            if restarts:
                raise
            # a probe's verdict does not wait for a disk; an agent that ended now would take the exit for the container's own
            log.warning("pod %s: cannot record that containers are replaced: %s", pod.describe(), error)

    @override
    async def act(self, runtime: Runtime, pod: AgentPod, observed: Observed) -> None:
        """Put in force what can be while containers run. What cannot is reported in the pod's status, and tried again."""
        uid = pod.uid

        def done(change: LiveChange) -> None:
            self._put_in_force(pod, change)

        try:
            await self._actuator.run(
                Actuation(runtime=runtime, pod=pod, observed=observed, due=self._due[uid], done=done)
            )
        except ResizeFailed as error:
            self._failed(pod, str(error))
            self._held_until[uid] = self._now() + jittered(RETRY_SECONDS)
            return
        self._records.actuated.set(uid, msgspec.structs.replace(self._records.in_force(uid), pod=pod_level(pod)))
        self._records.wake()

    def _put_in_force(self, pod: AgentPod, change: LiveChange) -> None:
        uid, name = pod.uid, change.container.name
        known = self._records.in_force(uid)
        before = known.containers.get(name)
        same_instance = before is not None and before.id == change.container_id
        base = before.resources if before is not None and same_instance else change.before
        resources = merged(base, change.container.resources, (change.resource,))
        containers = {**known.containers, name: ActuatedContainer(id=change.container_id, resources=resources)}
        self._records.actuated.set(uid, msgspec.structs.replace(known, containers=containers))

    def _failed(self, pod: AgentPod, message: str) -> None:
        uid, generation = pod.uid, generation_of(pod)
        old = self._records.conditions_of(uid)
        new = old.with_error(message, generation, self._now())
        log.warning("pod %s: resize: %s", pod.describe(), message)
        if new == old:
            return
        self._records.conditions[uid] = new
        assert new.in_progress is not None
        text = messages.failed(pod, new.in_progress.observedGeneration or 0, message)
        self._events.event(pod, "Warning", messages.ERROR, text)

    @override
    def started(self, pod: AgentPod, names: Iterable[str]) -> None:
        uid, given = pod.uid, resources_of(pod)
        if uid not in self._records.wanted:
            return
        known = self._records.in_force(uid)
        made = {name: ActuatedContainer(resources=given.containers[name]) for name in names if name in given.containers}
        if not made and known.pod is not None:
            return
        self._records.actuated.set(
            uid,
            Actuated(
                containers={**known.containers, **made},
                pod=known.pod or pod_level(pod),
                restarting=_without(known.restarting, made),
                replacing=_without(known.replacing, made),
            ),
        )
        self._records.wake()

    @override
    def ended(self, uid: PodUID) -> None:
        self._due.pop(uid, None)
        self._held_until.pop(uid, None)
        self._records.wake()


def _without(found: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    return {name: id for name, id in found.items() if name not in names}
