"""Deciding on in-place resizes: who has been given what, and who waits for more.

API ──(pod)──> seen ──(pod as allocated)──> supervisor ──> feature.InPlaceResize
                │ spec differs                  ▲
                └──> pending ──> evaluate ──────┘  agreed: on the disk first, then to the supervisor

Decisions are evaluated when a pod is added, changed, ended or has shrunk, and every 3 minutes.
Source: docs/facts/pod-lifecycle.md 4.7 and 15.2.
"""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from nodeagent.api.events import Events
from nodeagent.pods.resize import messages
from nodeagent.pods.resize.allocation import PodResources, charged_pod, pod_level, resources_of, same, with_resources
from nodeagent.pods.resize.changes import Actuated, ActuatedContainer
from nodeagent.pods.resize.conditions import INFEASIBLE, ResizeConditions, read
from nodeagent.pods.resize.decision import Admit, PendingResize, Refused, ResizeRules, decide, in_order
from nodeagent.pods.resize.generations import Generations
from nodeagent.pods.resize.generations import generation as generation_of
from nodeagent.pods.resize.records import ResizeRecords
from nodeagent.podspec.pod import AgentPod, PodUID

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 30.0
RETRY_SECONDS = 180.0
SAVE_DELAY_SECONDS = 0.1


@dataclasses.dataclass(frozen=True, slots=True)
class _Charged:
    """`pod`: as others count it, made of the rest."""

    allocated: AgentPod
    in_force: Actuated | None
    promised: PodResources | None
    pod: AgentPod

    @classmethod
    def of(cls, allocated: AgentPod, in_force: Actuated | None, promised: PodResources | None) -> "_Charged":
        pod = allocated
        if in_force is not None:
            pod = charged_pod(pod, {name: item.resources for name, item in in_force.containers.items()})
        if promised is not None:
            pod = charged_pod(pod, promised.containers)
        return cls(allocated, in_force, promised, pod)


class Resizes:
    """All methods belong to the event loop. `active`: the pods that hold resources, as allocated. `admit` checks a pod
    against others. `changed(uid)`: the pod is to be looked at again, with what `current` now says of it. `ready`: every source
    has spoken.
    """

    def __init__(
        self,
        *,
        records: ResizeRecords,
        rules: ResizeRules,
        events: Events,
        admit: Admit,
        active: Callable[[], Sequence[AgentPod]],
        changed: Callable[[PodUID], None],
        ready: Callable[[], bool],
        now: Callable[[], datetime],
    ) -> None:
        self._records = records
        self._rules = rules
        self._events = events
        self._admit = admit
        self._active = active
        self._changed = changed
        self._ready = ready
        self._now = now
        self._generations = Generations()
        self._pending: set[PodUID] = set()
        self._charged: dict[PodUID, _Charged] = {}
        self._unsaved = asyncio.Event()

    # -- for the manager of pods -------------------------------------------------------------------------------------

    def seen(self, pod: AgentPod) -> AgentPod:
        """A pod as a source has it now; returned as it is allocated."""
        uid = pod.uid
        before = self._records.wanted.get(uid)
        if before is None:
            self._records.conditions[uid] = read(pod.status.conditions if pod.status is not None else None)
        self._records.wanted[uid] = pod
        if pod.is_static:
            return pod  # another spec is another pod
        given = self._records.given.get(uid)
        if given is None:
            return pod
        settled = same(resources_of(pod), given) and self._records.conditions[uid].pending is None
        if not settled:
            self._pending.add(uid)
            self._records.wake()
        self._generations.seen(pod, before, settled=settled)
        return self._shown(pod, given)

    def _shown(self, pod: AgentPod, given: PodResources) -> AgentPod:
        return self._generations.shown(with_resources(pod, given))

    def current(self, uid: PodUID) -> AgentPod | None:
        """The newest pod of the source, as it is allocated."""
        pod, given = self._records.wanted.get(uid), self._records.given.get(uid)
        return pod if pod is None or given is None else self._shown(pod, given)

    def admitted(self, pod: AgentPod) -> None:
        """The node takes the pod: it has what it asked for."""
        uid = pod.uid
        if not pod.is_static and uid not in self._records.given:
            self._records.given[uid] = resources_of(pod)
            self._records.allocated.set(uid, self._records.given[uid])
            self._generations.admitted(pod)
        self._records.wake()

    def forget(self, uid: PodUID) -> None:
        """The pod is gone."""
        self._records.forget(uid)
        self._generations.forget(uid)
        self._pending.discard(uid)
        self._charged.pop(uid, None)
        self._records.wake()

    def as_charged(self, allocated: Iterable[AgentPod]) -> list[AgentPod]:
        """Pods as the admission of others counts them: nothing that is promised or still in force is given twice.

        Every new pod asks for all others, so an answer is kept for as long as what it is made of: all values, none changes.
        """
        actuated, promises, given = self._records.actuated, self._records.allocated, self._records.given
        charged = self._charged
        found = []
        for pod in allocated:
            uid = pod.uid
            in_force, promised = actuated.get(uid), promises.get(uid)
            if promised is given.get(uid):
                promised = None
            known = charged.get(uid)
            if (
                known is None
                or known.allocated is not pod
                or known.in_force is not in_force
                or known.promised is not promised
            ):
                known = charged[uid] = _Charged.of(pod, in_force, promised)
            found.append(known.pod)
        return found

    # -- deciding ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._decide(), name="resizes of pods")
                group.create_task(self._save_changes(), name="records of pods' resources")
        finally:
            self._records.save_now()

    async def _decide(self) -> None:
        delay = FIRST_RETRY_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._records.changed()
            if self._ready():
                self._records.drop_unknown()
                await self.evaluate()
                delay = RETRY_SECONDS
            self._unsaved.set()

    async def _save_changes(self) -> None:
        """What the next agent can find out by itself need not be on the disk at once: a burst of pods is one write."""
        while True:
            await self._unsaved.wait()
            await asyncio.sleep(SAVE_DELAY_SECONDS)  # gather what belongs to the same burst, not a poll
            self._unsaved.clear()
            await self._save()

    async def evaluate(self) -> None:
        """Decide on every pending resize, in order; agreed ones are on the disk before anything acts on them.

        What the pods had before is there even earlier: the next agent would take what is wanted for what was given, and end a
        pod that it does not fit.
        """
        if not self._pending:
            return
        await self._save()
        active = {pod.uid: pod for pod in self._active()}
        agreed: list[tuple[AgentPod, PodResources]] = []
        for resize in in_order(self._resizes(active)):
            uid = resize.wanted.uid
            others = self.as_charged(pod for other, pod in active.items() if other != uid)
            refused = decide(resize, others, self._rules, self._admit)
            if refused is not None:
                self._put_off(resize, refused)
                continue
            given = resources_of(resize.wanted)
            self._records.allocated.set(uid, given)
            active[uid] = with_resources(resize.wanted, given)
            agreed.append((resize.wanted, given))
        if not agreed:
            return
        self._note_in_force(agreed)
        try:
            await self._records.allocated.flush()
        except OSError as error:
            log.error("resizes are put off, the decision cannot be recorded: %s", error)
            for pod, _ in agreed:
                before = self._records.given.get(pod.uid)
                if before is not None:
                    self._records.allocated.set(pod.uid, before)
            return
        for pod, given in agreed:
            self._agree(pod, given)

    def _resizes(self, active: Mapping[PodUID, AgentPod]) -> list[PendingResize]:
        """The pending ones that can be decided on now. One that was taken back is pending no more."""
        found: list[PendingResize] = []
        for uid in tuple(self._pending):
            wanted, allocated = self._records.wanted.get(uid), active.get(uid)
            if wanted is None or wanted.metadata is None:
                self._pending.discard(uid)
                continue
            if allocated is None or wanted.is_deleted:
                continue
            given = self._records.given.get(uid)
            if given is None or same(resources_of(wanted), given):
                self._pending.discard(uid)
                self._set(wanted, dataclasses.replace(self._records.conditions_of(uid), pending=None))
                continue
            pending = self._records.conditions_of(uid).pending
            since = pending.lastTransitionTime if pending is not None else None
            found.append(PendingResize(wanted=wanted, allocated=allocated, since=since))
        return found

    def _agree(self, pod: AgentPod, given: PodResources) -> None:
        uid, generation = pod.uid, generation_of(pod)
        if uid not in self._records.wanted:
            self._records.allocated.remove(uid)  # it went while this was written
            return
        self._records.given[uid] = given
        self._generations.decide(pod)
        conditions = dataclasses.replace(self._records.conditions_of(uid), pending=None)
        self._records.conditions[uid] = conditions.with_in_progress(generation, self._now())
        if same(resources_of(self._records.wanted[uid]), given):
            self._pending.discard(uid)
        else:
            self._records.wake()  # asked for something else meanwhile
        log.info("pod %s: resize to %s", pod.describe(), messages.summary(pod, generation))
        self._events.event(pod, "Normal", messages.STARTED, messages.started(pod, generation))
        self._changed(uid)

    def _put_off(self, resize: PendingResize, refused: Refused) -> None:
        pod = resize.wanted
        uid, generation = pod.uid, generation_of(pod)
        old = self._records.conditions_of(uid)
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
        if news or self._records.conditions_of(uid) != conditions:
            self._records.conditions[uid] = conditions
            self._changed(uid)

    async def _save(self) -> None:
        try:
            await self._records.save()
        except OSError as error:
            log.error("cannot record the resources of pods, next try in %.0f s: %s", RETRY_SECONDS, error)

    def _note_in_force(self, agreed: Iterable[tuple[AgentPod, PodResources]]) -> None:
        """Cgroups and containers of which nothing is recorded were made with what was allocated until now.

        No runtime tells of a memory request: without this the new one would seem to be in force already.
        """
        for pod, _ in agreed:
            uid = pod.uid
            known, before = self._records.in_force(uid), self._records.given.get(uid)
            if before is None:
                continue
            unknown = {name: ActuatedContainer(resources=item) for name, item in before.containers.items()}
            level = known.pod or pod_level(with_resources(pod, before))
            self._records.actuated.set(
                uid, msgspec.structs.replace(known, pod=level, containers={**unknown, **known.containers})
            )
