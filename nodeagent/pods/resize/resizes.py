"""In-place resizes of this node's pods: who has been given what, who waits for more, and what is in force.

API ──(pod)──> seen ──(pod as allocated)──> supervisor ──> look, actuate
                │ spec differs                  ▲
                └──> pending ──> evaluate ──────┘  agreed: on the disk first, then to the supervisor

Decisions are evaluated when a pod is added, changed, ended or has shrunk, and every 3 minutes. What was decided is in
`allocated_pods_state`, what is in force in `actuated_pods_state`; an agent that starts again goes on from there.
Source: facts/pod-lifecycle.md 4.7 and 15.2.
"""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from lightkube.models.core_v1 import PodCondition, ResourceRequirements

from nodeagent.pods.resize import messages
from nodeagent.pods.resize.actuation import Actuation, Actuator, ResizeFailed
from nodeagent.pods.resize.allocation import (
    PodResources,
    charged,
    merged,
    pod_level,
    resources_of,
    same,
    same_resources,
    with_resources,
)
from nodeagent.pods.resize.changes import Actuated, Due, InForce, LiveChange, due, recollected
from nodeagent.pods.resize.checkpoint import Checkpoint
from nodeagent.pods.resize.conditions import INFEASIBLE, NONE, ResizeConditions, read
from nodeagent.pods.resize.decision import Admit, PendingResize, Refused, ResizeRules, decide, in_order
from nodeagent.pods.resize.generations import Generations
from nodeagent.pods.resize.generations import generation as generation_of
from nodeagent.pods.rules.model import Observed
from nodeagent.pods.steps.contract import PodEvents
from nodeagent.podspec.cgroup_values import HostLimits
from nodeagent.podspec.effective import aggregated, as_quantities
from nodeagent.podspec.pod import AgentPod, PodUID
from runtimes.registry import Runtime

log = logging.getLogger(__name__)

ALLOCATED_FILE = "allocated_pods_state"
ACTUATED_FILE = "actuated_pods_state"
FIRST_RETRY_SECONDS = 30.0
RETRY_SECONDS = 180.0
_NOTHING = Actuated()


class Resizes:
    """All methods belong to the event loop. `active`: the pods that hold resources, as allocated. `admit` judges a pod
    against others. `changed(uid)`: the pod is to be looked at again, with what `current` now says of it. `ready`: every source
    has spoken.
    """

    def __init__(
        self,
        *,
        root_dir: Path,
        actuator: Actuator,
        host: HostLimits,
        rules: ResizeRules,
        events: PodEvents,
        admit: Admit,
        active: Callable[[], Sequence[AgentPod]],
        changed: Callable[[PodUID], None],
        ready: Callable[[], bool],
        now: Callable[[], datetime],
    ) -> None:
        self._allocated = Checkpoint(root_dir / ALLOCATED_FILE, PodResources)
        self._actuated = Checkpoint(root_dir / ACTUATED_FILE, Actuated)
        self._actuator = actuator
        self._host = host
        self._rules = rules
        self._events = events
        self._admit = admit
        self._active = active
        self._changed = changed
        self._ready = ready
        self._now = now
        self._wanted: dict[PodUID, AgentPod] = {}
        self._given: dict[PodUID, PodResources] = {}  # what is allocated, and on the disk if it was ever resized
        self._conditions: dict[PodUID, ResizeConditions] = {}
        self._generations = Generations()
        self._pending: set[PodUID] = set()
        self._woken = asyncio.Event()

    def load(self) -> None:
        """Before the first pod. Raises CorruptCheckpoint."""
        self._allocated.load()
        self._actuated.load()
        for uid in self._allocated.uids():
            given = self._allocated.get(uid)
            if given is not None:
                self._given[PodUID(uid)] = given

    # -- for the manager of pods -------------------------------------------------------------------------------------

    def seen(self, pod: AgentPod) -> AgentPod:
        """A pod as a source has it now; returned as it is allocated."""
        uid = pod.uid
        before = self._wanted.get(uid)
        if before is None:
            self._conditions[uid] = read(pod.status.conditions if pod.status is not None else None)
        self._wanted[uid] = pod
        if pod.is_static:
            return pod  # another spec is another pod
        given = self._given.get(uid)
        if given is None:
            return pod
        settled = same(resources_of(pod), given) and self._conditions[uid].pending is None
        if not settled:
            self._pending.add(uid)
            self.wake()
        self._generations.seen(pod, before, settled=settled)
        return self._shown(pod, given)

    def _shown(self, pod: AgentPod, given: PodResources) -> AgentPod:
        return self._generations.shown(with_resources(pod, given))

    def current(self, uid: PodUID) -> AgentPod | None:
        """The newest pod of the source, as it is allocated."""
        pod, given = self._wanted.get(uid), self._given.get(uid)
        return pod if pod is None or given is None else self._shown(pod, given)

    def admitted(self, pod: AgentPod) -> None:
        """The node takes the pod: it has what it asked for."""
        uid = pod.uid
        if not pod.is_static and uid not in self._given:
            self._given[uid] = resources_of(pod)
            self._allocated.set(uid, self._given[uid])
            self._generations.admitted(pod)
        self.wake()

    def forget(self, uid: PodUID) -> None:
        """The pod is gone."""
        self._wanted.pop(uid, None)
        self._given.pop(uid, None)
        self._conditions.pop(uid, None)
        self._generations.forget(uid)
        self._pending.discard(uid)
        self._allocated.remove(uid)
        self._actuated.remove(uid)
        self.wake()

    def reckoned(self, allocated: AgentPod) -> AgentPod:
        """A pod as the admission of others reckons with it: nothing that is promised or still in force is given twice."""
        uid = allocated.uid
        in_force, promised = self._actuated.get(uid), self._allocated.get(uid)
        if in_force is not None:
            allocated = charged(allocated, {name: item.resources for name, item in in_force.containers.items()})
        if promised is not None and promised is not self._given.get(uid):
            allocated = charged(allocated, promised.containers)
        return allocated

    def wake(self) -> None:
        """Look at the pending resizes again, and bring the checkpoints up to date."""
        self._woken.set()

    # -- deciding ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        delay = FIRST_RETRY_SECONDS
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._woken.wait()
                self._woken.clear()
                if self._ready():
                    self._drop_unknown()
                    await self.evaluate()
                    delay = RETRY_SECONDS
                await self._save()
        finally:
            with contextlib.suppress(OSError):
                self._allocated.flush_now()
                self._actuated.flush_now()

    async def evaluate(self) -> None:
        """Decide on every pending resize, in order; agreed ones are on the disk before anything acts on them."""
        if not self._pending:
            return
        active = {pod.uid: pod for pod in self._active()}
        agreed: list[tuple[AgentPod, PodResources]] = []
        for resize in in_order(self._resizes(active)):
            uid = resize.wanted.uid
            others = [self.reckoned(pod) for other, pod in active.items() if other != uid]
            refused = decide(resize, others, self._rules, self._admit)
            if refused is not None:
                self._put_off(resize, refused)
                continue
            given = resources_of(resize.wanted)
            self._allocated.set(uid, given)
            active[uid] = with_resources(resize.wanted, given)
            agreed.append((resize.wanted, given))
        if not agreed:
            return
        self._note_in_force(agreed)
        try:
            await self._allocated.flush()
        except OSError as error:
            log.error("resizes are put off, the decision cannot be recorded: %s", error)
            for pod, _ in agreed:
                before = self._given.get(pod.uid)
                if before is not None:
                    self._allocated.set(pod.uid, before)
            return
        for pod, given in agreed:
            self._agree(pod, given)

    def _resizes(self, active: Mapping[PodUID, AgentPod]) -> list[PendingResize]:
        """The pending ones that can be judged now. One that was taken back is pending no more."""
        found: list[PendingResize] = []
        for uid in tuple(self._pending):
            wanted, allocated = self._wanted.get(uid), active.get(uid)
            if wanted is None:
                self._pending.discard(uid)
                continue
            if allocated is None or wanted.is_deleted:
                continue
            given = self._given.get(uid)
            if given is None or same(resources_of(wanted), given):
                self._pending.discard(uid)
                self._set(wanted, dataclasses.replace(self._conditions.get(uid, NONE), pending=None))
                continue
            pending = self._conditions.get(uid, NONE).pending
            since = pending.lastTransitionTime if pending is not None else None
            found.append(PendingResize(wanted=wanted, allocated=allocated, since=since))
        return found

    def _agree(self, pod: AgentPod, given: PodResources) -> None:
        uid, generation = pod.uid, generation_of(pod)
        if uid not in self._wanted:
            self._allocated.remove(uid)  # it went while this was written
            return
        self._given[uid] = given
        self._generations.decide(pod)
        conditions = dataclasses.replace(self._conditions.get(uid, NONE), pending=None)
        self._conditions[uid] = conditions.with_in_progress(generation, self._now())
        if same(resources_of(self._wanted[uid]), given):
            self._pending.discard(uid)
        else:
            self.wake()  # asked for something else meanwhile
        log.info("pod %s: resize to %s", pod.describe(), messages.summary(pod, generation))
        self._events.event(pod, "Normal", messages.STARTED, messages.started(pod, generation))
        self._changed(uid)

    def _put_off(self, resize: PendingResize, refused: Refused) -> None:
        pod = resize.wanted
        uid, generation = pod.uid, generation_of(pod)
        old = self._conditions.get(uid, NONE)
        new = old.with_pending(refused.condition, refused.message, generation, self._now())
        self._set(pod, new)
        before = (old.pending.reason, old.pending.observedGeneration) if old.pending is not None else None
        if before == (refused.condition, generation or None):
            return
        reason = messages.INFEASIBLE if refused.condition == INFEASIBLE else messages.DEFERRED
        text = messages.pending(pod, generation, refused.reason, refused.message)
        self._events.event(pod, "Warning", reason, text)

    def _set(self, pod: AgentPod, conditions: ResizeConditions) -> None:
        """The answer to what this pod asks for is that it gets nothing new."""
        uid = pod.uid
        news = self._generations.decide(pod)
        if news or self._conditions.get(uid, NONE) != conditions:
            self._conditions[uid] = conditions
            self._changed(uid)

    def _drop_unknown(self) -> None:
        """What is on the disk of pods that went while no agent ran."""
        for uid in {*self._allocated.uids(), *self._actuated.uids()} - self._wanted.keys():
            self._allocated.remove(uid)
            self._actuated.remove(uid)
            self._given.pop(PodUID(uid), None)

    async def _save(self) -> None:
        try:
            await self._allocated.flush()
            await self._actuated.flush()
        except OSError as error:
            log.error("cannot record the resources of pods, next try in %.0f s: %s", RETRY_SECONDS, error)

    # -- putting in force --------------------------------------------------------------------------------------------

    def look(self, pod: AgentPod, observed: Observed) -> Due:
        uid, conditions = pod.uid, self._conditions.get(pod.uid, NONE)
        in_progress = conditions.in_progress
        known = recollected(
            pod, observed, self._actuated.get(uid) or _NOTHING, self._host, in_progress=in_progress is not None
        )
        if uid in self._wanted:
            self._actuated.set(uid, known)
        found = due(pod, observed, known)
        if found and in_progress is None:
            self._conditions[uid] = conditions.with_in_progress(generation_of(pod), self._now())
        elif not found and in_progress is not None:
            self._conditions[uid] = dataclasses.replace(conditions, in_progress=None)
            generation = in_progress.observedGeneration or 0
            self._events.event(pod, "Normal", messages.COMPLETED, messages.completed(pod, generation))
            self.wake()  # what it gave back may be what another one waits for
        return found

    def conditions(self, uid: PodUID) -> tuple[PodCondition, ...]:
        return self._conditions.get(uid, NONE).listed()

    def actual(self, pod: AgentPod) -> ResourceRequirements | None:
        known = self._actuated.get(pod.uid)
        if known is None or known.pod is None or same_resources(known.pod, pod_level(pod)):
            return None
        everything = ResourceRequirements(
            requests=as_quantities(aggregated(pod, "requests")) or None,
            limits=as_quantities(aggregated(pod, "limits")) or None,
        )
        return merged(everything, known.pod)

    def in_force(self, uid: PodUID) -> Mapping[str, ResourceRequirements]:
        known = self._actuated.get(uid) or _NOTHING
        return {item.id: item.resources for item in known.containers.values() if item.id}

    async def restarting(self, pod: AgentPod, due: Due, replacing: Mapping[str, str]) -> None:
        uid = pod.uid
        known = self._actuated.get(uid) or _NOTHING
        others = {**known.replacing, **replacing}
        self._actuated.set(
            uid, msgspec.structs.replace(known, restarting=dict(due.restarts), replacing=_without(others, due.restarts))
        )
        try:
            await self._actuated.flush()
        except OSError as error:
            if due.restarts:
                raise
            # a probe's verdict does not wait for a disk; an agent that ended now would take the exit for the container's own
            log.warning("pod %s: cannot record that containers are replaced: %s", pod.describe(), error)

    async def actuate(self, runtime: Runtime, pod: AgentPod, observed: Observed, due: Due) -> bool:
        def done(change: LiveChange) -> None:
            self._put_in_force(pod, change)

        try:
            await self._actuator.run(Actuation(runtime=runtime, pod=pod, observed=observed, due=due, done=done))
        except ResizeFailed as error:
            self._failed(pod, str(error))
            return False
        known = self._actuated.get(pod.uid) or _NOTHING
        self._actuated.set(pod.uid, msgspec.structs.replace(known, pod=pod_level(pod)))
        self.wake()
        return True

    def _put_in_force(self, pod: AgentPod, change: LiveChange) -> None:
        known, name = self._actuated.get(pod.uid) or _NOTHING, change.container.name
        before = known.containers.get(name)
        same_instance = before is not None and before.id == change.container_id
        base = before.resources if before is not None and same_instance else change.before
        resources = merged(base, change.container.resources, (change.resource,))
        containers = {**known.containers, name: InForce(id=change.container_id, resources=resources)}
        self._actuated.set(pod.uid, msgspec.structs.replace(known, containers=containers))

    def _failed(self, pod: AgentPod, message: str) -> None:
        uid, generation = pod.uid, generation_of(pod)
        old = self._conditions.get(uid, NONE)
        new = old.with_error(message, generation, self._now())
        log.warning("pod %s: resize: %s", pod.describe(), message)
        if new == old:
            return
        self._conditions[uid] = new
        assert new.in_progress is not None
        text = messages.failed(pod, new.in_progress.observedGeneration or 0, message)
        self._events.event(pod, "Warning", messages.ERROR, text)

    def started(self, pod: AgentPod, names: Iterable[str]) -> None:
        uid, given = pod.uid, resources_of(pod)
        if uid not in self._wanted:
            return
        known = self._actuated.get(uid) or _NOTHING
        made = {name: InForce(resources=given.containers[name]) for name in names if name in given.containers}
        if not made and known.pod is not None:
            return
        self._actuated.set(
            uid,
            Actuated(
                containers={**known.containers, **made},
                pod=known.pod or pod_level(pod),
                restarting=_without(known.restarting, made),
                replacing=_without(known.replacing, made),
            ),
        )
        self.wake()

    def ended(self, uid: PodUID) -> None:
        self.wake()

    def _note_in_force(self, agreed: Iterable[tuple[AgentPod, PodResources]]) -> None:
        """Cgroups and containers of which nothing is recorded were made with what was allocated until now.

        No runtime tells of a memory request: without this the new one would seem to be in force already.
        """
        for pod, _ in agreed:
            uid = pod.uid
            known, before = self._actuated.get(uid) or _NOTHING, self._given.get(uid)
            if before is None:
                continue
            unknown = {name: InForce(resources=item) for name, item in before.containers.items()}
            level = known.pod or pod_level(with_resources(pod, before))
            self._actuated.set(
                uid, msgspec.structs.replace(known, pod=level, containers={**unknown, **known.containers})
            )


def _without(found: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    return {name: id for name, id in found.items() if name not in names}
