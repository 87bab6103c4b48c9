"""All pods of this node: one supervisor each, fed by the sources and woken by the runtimes; and nothing else runs here.

sources ──> apply ──> admission ──> PodSupervisor ──(gone)──> forgotten
runtimes ──(events)──────────────────> wake
runtimes, cgroups, folders ──(unknown UID)──> orphans.OrphanCollector
"""

import asyncio
import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from lightkube.models.core_v1 import PodStatus

from nodeagent.pods.admission.gate import UNEXPECTED, Answer, Deferred, KillError
from nodeagent.pods.current_work import WorkKind
from nodeagent.pods.mirrors import Mirrors
from nodeagent.pods.pod_tasks import PodTasks
from nodeagent.pods.rules.model import Desired, PodStage, StartFailure, Termination
from nodeagent.pods.services import PodServices
from nodeagent.pods.status.phase import has_ended
from nodeagent.pods.step_runs import StepRun
from nodeagent.pods.supervisor import PodSupervisor
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.sources.merger import ChangeType, PodChange
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault
from runtimes.linux.retry import Backoff, RetryPolicy
from runtimes.registry import Runtime

log = logging.getLogger(__name__)

RELIST_SECONDS = 1.0  # pause before listening to a runtime again that broke off, doubling
RELIST_CAP_SECONDS = 5.0
KILL_WAIT_SECONDS, KILL_WAIT_FACTOR = 10.0, 1.5  # how long an ended pod's containers may take: the larger of the two
STUCK_SECONDS = 120.0  # a pod's sync that takes longer is not going on (twice the resync period, as upstream)


class ObjectReferences(Protocol):
    """Who watches the secrets and config maps that pods refer to."""

    def register(self, pod: AgentPod) -> None: ...

    def unregister(self, uid: str) -> None: ...


class Allocations(Protocol):
    """Knows which of a pod's resources this node has agreed to (`resize.resizes`)."""

    def seen(self, pod: AgentPod) -> AgentPod:
        """A pod as a source has it; returned as it is allocated."""
        ...

    def current(self, uid: PodUID) -> AgentPod | None: ...

    def admitted(self, pod: AgentPod) -> None: ...

    def forget(self, uid: PodUID) -> None: ...

    def as_charged(self, allocated: Iterable[AgentPod]) -> list[AgentPod]:
        """Pods as the admission of others counts them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOnNode:
    """A pod as the node's own API shows it."""

    pod: AgentPod
    status: PodStatus | None
    stage: PodStage


@dataclass(frozen=True, slots=True, kw_only=True)
class PodActivity:
    """What is being done for a pod now, for whoever looks for one that hangs.

    `handler`: of the runtime that runs it, empty before the first look. `steps`: of a pass or a teardown, in the order in which
    they began, with what they wait for. `blocked_until`: no pass before; `held_until`: container name -> no start before.
    """

    pod: AgentPod
    stage: PodStage
    handler: str
    doing: WorkKind
    steps: tuple[StepRun, ...]
    sync_began: datetime | None
    blocked_until: datetime | None
    held_until: Mapping[str, datetime]


class PodManager:
    """Owns the supervisors. All methods belong to the event loop.

    `admit(pod, others)` checks a new pod against the node's active ones; None admits it. New pods are admitted one after the
    other: while one waits for its answer, those behind it do too. `judged(pod, rejected)` hears what became of each.
    """

    def __init__(
        self,
        *,
        services: PodServices,
        references: ObjectReferences,
        admit: Callable[[AgentPod, Sequence[AgentPod]], Answer],
        tasks: PodTasks,
        mirrors: Mirrors,
        allocations: Allocations,
        on_gone: Callable[[], None] = lambda: None,
        judged: Callable[[AgentPod, StartFailure | None], None] = lambda pod, rejected: None,
    ) -> None:
        self._services = services
        self._references = references
        self._admit = admit
        self._tasks = tasks
        self._mirrors = mirrors
        self._allocations = allocations
        self._on_gone = on_gone
        self._judged = judged
        self._supervisors: dict[PodUID, PodSupervisor] = {}
        self._new: dict[PodUID, Desired] = {}  # not yet admitted, in their order
        self._not_taken: set[PodUID] = set()  # wanted, and no orphans, though a bug keeps them from being begun
        self._answer: asyncio.Task[None] | None = None  # what the first of them waits for

    # -- from the sources --------------------------------------------------------------------------------------------

    def apply(self, changes: Iterable[PodChange]) -> None:
        """Take over changes of the wanted pods, in their order. One that cannot be taken over is logged, and the others go on."""
        for change in changes:
            uid = change.pod.uid
            self._not_taken.discard(uid)
            try:
                self._apply(change)
            except Exception:
                if change.type is not ChangeType.REMOVE:
                    self._not_taken.add(uid)
                log.exception("pod %s: its %s was not taken over", change.pod.describe(), change.type.value)
        self._judge_new()

    def _apply(self, change: PodChange) -> None:
        if change.pod.is_mirror and not change.pod.is_static:
            self._mirrors.observed(change.pod, removed=change.type is ChangeType.REMOVE)
            return
        desired = Desired(pod=self._allocations.seen(change.pod), removed=change.type is ChangeType.REMOVE)
        if change.pod.is_static:
            (self._mirrors.gone if desired.removed else self._mirrors.wanted)(change.pod)
        supervisor = self._supervisors.get(change.pod.uid)
        if supervisor is not None:
            if not desired.removed:
                self._references.register(change.pod)
            supervisor.update(desired, status_only=change.type is ChangeType.RECONCILE)
        elif not desired.removed:
            self._new[change.pod.uid] = desired
        else:
            self._new.pop(change.pod.uid, None)
            self._allocations.forget(change.pod.uid)

    def _judge_new(self) -> None:
        while self._new and self._answer is None:
            uid, desired = next(iter(self._new.items()))
            answer = self._judge(desired)
            if isinstance(answer, Deferred):
                work = functools.partial(self._await_answer, uid, answer)
                self._answer = self._tasks.start(work, name=f"admission of pod {uid}")
            else:
                self._begin(uid, answer)

    async def _await_answer(self, uid: PodUID, later: Deferred) -> None:
        try:
            rejected = await later.answer()
        except Exception as error:
            log.exception("admission of pod %s failed", uid)
            rejected = StartFailure(reason=UNEXPECTED, message=f"{error}")
        self._answer = None
        desired = self._new.get(uid)  # the newest state of it; gone from its source: nothing is to be done
        if desired is not None:
            self._begin(uid, rejected if _is_to_run(desired.pod) else None)
        self._judge_new()

    def _begin(self, uid: PodUID, rejected: StartFailure | None) -> None:
        """Give a pod that has been through admission its supervisor. A bug there is logged, and holds up no other."""
        desired = self._new.pop(uid)
        try:
            self._add(desired, rejected)
        except Exception:
            self._not_taken.add(uid)
            log.exception("pod %s is not begun", desired.pod.describe())

    def _add(self, desired: Desired, rejected: StartFailure | None) -> None:
        pod = desired.pod
        uid = pod.uid
        if rejected is not None:
            self._services.events.event(pod, "Warning", rejected.reason, rejected.message)
            log.info("pod %s was rejected: %s: %s", pod.describe(), rejected.reason, rejected.message)
        else:
            self._allocations.admitted(pod)
        self._judged(pod, rejected)
        self._references.register(pod)
        supervisor = PodSupervisor(desired, self._services, rejected=rejected)
        self._supervisors[uid] = supervisor
        self._tasks.start(functools.partial(self._supervise, uid, supervisor), name=f"pod {uid}")

    def _judge(self, desired: Desired) -> Answer:
        """Admission is for pods that are to run: neither ended nor about to end."""
        pod = desired.pod
        if not _is_to_run(pod):
            return None
        try:
            return self._admit(pod, self._allocations.as_charged(self.active_pods()))
        except Exception as error:
            log.exception("admission of pod %s failed", pod.describe())
            return StartFailure(reason=UNEXPECTED, message=f"{error}")

    async def _supervise(self, uid: PodUID, supervisor: PodSupervisor) -> None:
        await supervisor.run()
        # Only now may the API drop the object: nothing of the pod is left on this node.
        pod = supervisor.desired.pod
        if not supervisor.desired.removed:
            await self._services.statuses.settled(uid)
            await self._services.statuses.delete(supervisor.desired.pod)
        self._supervisors.pop(uid, None)
        self._allocations.forget(uid)
        self._services.statuses.forget(uid)
        self._references.unregister(uid)
        log.info("pod %s is gone", pod.describe())
        self._on_gone()

    # -- from the runtimes -------------------------------------------------------------------------------------------

    async def follow(self, runtime: Runtime) -> None:
        """Wake pods at every event of a runtime, for good; after a break each of its pods looks for itself."""
        backoff, broken = Backoff(RetryPolicy(first_seconds=RELIST_SECONDS, cap_seconds=RELIST_CAP_SECONDS)), False
        while True:
            try:
                async for event in runtime.service.events():
                    backoff.reset()
                    broken = False
                    if event.container_event_type == cri.CONTAINER_CREATED_EVENT:
                        continue  # the pass that created it is about to start it: that is worth a look, or the pass's end
                    uid = event.pod_sandbox_status.metadata.uid
                    supervisor = self._supervisors.get(PodUID(uid))
                    if supervisor is not None:
                        supervisor.runtime_changed()
                    elif uid:
                        self._on_gone()
            except RuntimeFault as error:
                log.log(
                    logging.DEBUG if broken else logging.WARNING, "runtime %s: no events: %s", runtime.handler, error
                )
                broken = True
            await asyncio.sleep(backoff.next_delay())
            for supervisor in self._supervisors.values():
                if supervisor.handler in ("", runtime.handler):
                    supervisor.wake()

    def wake(self, uid: str) -> None:
        supervisor = self._supervisors.get(PodUID(uid))
        if supervisor is not None:
            supervisor.wake()

    def refresh(self, uid: str) -> None:
        """Content that the pod has as files has changed."""
        supervisor = self._supervisors.get(PodUID(uid))
        if supervisor is not None:
            supervisor.refresh()

    def resized(self, uid: PodUID) -> None:
        """The pod has been allocated other resources, or the conditions of its resize have changed."""
        supervisor, pod = self._supervisors.get(uid), self._allocations.current(uid)
        if supervisor is not None and pod is not None:
            supervisor.update(dataclasses.replace(supervisor.desired, pod=pod))

    # -- for the rest of the agent -----------------------------------------------------------------------------------

    def known_uids(self) -> frozenset[str]:
        return frozenset(self._supervisors) | frozenset(self._new) | self._not_taken

    def active_pods(self) -> list[AgentPod]:
        """Pods that hold resources, as allocated: admitted and not yet ended."""
        return [pod for supervisor in self._supervisors.values() if (pod := supervisor.active) is not None]

    def is_moving(self) -> bool:
        """Whether every pod's loop comes round: a sync only observes and decides, so none takes minutes."""
        longest = timedelta(seconds=STUCK_SECONDS)
        began = (supervisor.sync_began for supervisor in self._supervisors.values())
        return all(at is None or self._services.now() - at < longest for at in began)

    def pods(self) -> list[PodOnNode]:
        return [self._view(supervisor) for supervisor in self._supervisors.values()]

    def activities(self) -> list[PodActivity]:
        """The activities of all pods, idle ones included."""
        return [
            PodActivity(
                pod=supervisor.desired.pod,
                stage=supervisor.stage,
                handler=supervisor.handler,
                doing=supervisor.doing,
                steps=tuple(self._services.engine.current_steps(uid)),
                sync_began=supervisor.sync_began,
                blocked_until=supervisor.backoff.blocked_until,
                held_until=supervisor.backoff.held_until,
            )
            for uid, supervisor in self._supervisors.items()
        ]

    def find(self, namespace: str, name: str, uid: str = "") -> PodOnNode | None:
        """The pod of that name (and UID, where given); of several generations the one that is not on its way out."""
        found = [
            supervisor
            for supervisor in self._supervisors.values()
            if supervisor.desired.pod.key == (namespace, name) and uid in ("", supervisor.uid)
        ]
        found.sort(key=lambda supervisor: supervisor.stage is PodStage.SYNC, reverse=True)
        return self._view(found[0]) if found else None

    def runtime_of(self, pod: AgentPod) -> Runtime:
        """Raises UnknownRuntime."""
        return self._services.runtimes.resolve(pod)

    def terminate(self, uid: PodUID, termination: Termination) -> bool:
        """Ask a pod to end; False: not known here."""
        supervisor = self._supervisors.get(uid)
        if supervisor is not None:
            supervisor.terminate(termination)
        return supervisor is not None

    async def end(self, pod: AgentPod, termination: Termination) -> None:
        """Ask a pod to end, and return when its containers have. Raises KillError when they take too long."""
        supervisor = self._supervisors.get(pod.uid)
        if supervisor is None:
            return
        supervisor.terminate(termination)
        try:
            async with asyncio.timeout(max(KILL_WAIT_SECONDS, KILL_WAIT_FACTOR * termination.grace_seconds)):
                await supervisor.stopped.wait()
        except TimeoutError:
            message = "Container runtime did not kill the pod within specified grace period."
            self._services.events.event(pod, "Warning", "ExceededGracePeriod", message)
            raise KillError(message) from None

    async def released(self, uid: PodUID) -> None:
        """Return when nothing of the pod is left that others could use: no container runs, volumes and cgroup are given back."""
        supervisor = self._supervisors.get(uid)
        if supervisor is not None:
            await supervisor.released.wait()

    async def reported(self, uid: PodUID) -> None:
        """Return when the API knows what was last published of the pod."""
        await self._services.statuses.settled(uid)

    async def remove_dead(self) -> None:
        """Remove the dead containers of pods that have ended and whose objects stay, with their logs: the disk is short."""
        await asyncio.gather(*(supervisor.remove_dead() for supervisor in tuple(self._supervisors.values())))

    def _view(self, supervisor: PodSupervisor) -> PodOnNode:
        pod = supervisor.desired.pod
        status = self._services.statuses.cached(supervisor.uid) or pod.status
        return PodOnNode(pod=pod, status=status, stage=supervisor.stage)


def _is_to_run(pod: AgentPod) -> bool:
    return not pod.is_deleted and not has_ended(pod)
