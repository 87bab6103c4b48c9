"""One pod's supervisor: the only one that acts on its pod.

    wake ──> observe ──> plan ──> status (published at once) ──> work (one pass at a time, beside this loop)
      ^                                                            │
      └── new desired state, runtime event, probe result, end of work, end of a back-off or deadline

Stages go one way (`model.Stage`). The loop never waits for work: it goes on observing and publishing while containers are
pulled, started or stopped, and cancels a pass that is overtaken by the pod's termination.
"""

import asyncio
import dataclasses
import functools
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from lightkube.models.core_v1 import PodStatus

from nodeagent.pods.dead_containers import superfluous
from nodeagent.pods.observation import observe
from nodeagent.pods.resize.changes import Due
from nodeagent.pods.resize.contract import NOTHING_DUE, NoResizing, Resizing
from nodeagent.pods.rules.model import (
    Desired,
    Memory,
    NodeAddresses,
    Observed,
    Plan,
    ProbeResults,
    RemoveContainer,
    Stage,
    StartFailure,
    Termination,
)
from nodeagent.pods.rules.plan import plan as make_plan
from nodeagent.pods.rules.replacement import awaiting, replacing
from nodeagent.pods.rules.termination import deadline_at, deadline_exceeded, pod_grace_seconds
from nodeagent.pods.status.pod import status as make_status
from nodeagent.pods.status.writer import StatusSink
from nodeagent.pods.steps.contract import Ending, PodEvents, Work
from nodeagent.pods.steps.engine import StepEngine, StepError
from nodeagent.podspec.containers import field_path, find_container
from nodeagent.podspec.pod import AgentPod, PodUID
from runtimes.errors import RuntimeFault
from runtimes.registry import Runtime

log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0  # after a failed pass, times 1.0 to 1.5
RESYNC_SECONDS = 60.0  # refresh of volumes, times 1.0 to 1.5
TERMINAL_PHASES = ("Succeeded", "Failed")


class UnknownRuntime(Exception):
    """The pod's RuntimeClass or its handler does not exist on this node; the text says which do."""


class RuntimeResolver(Protocol):
    """Which runtime runs a pod."""

    def resolve(self, pod: AgentPod) -> Runtime:
        """Raises UnknownRuntime."""
        ...

    def all(self) -> tuple[Runtime, ...]: ...


class Probing(Protocol):
    """Keeps the probe workers of a pod in step with it."""

    def sync(
        self, pod: AgentPod, observed: Observed, runtime: Runtime, on_result: Callable[[str, ProbeResults], None]
    ) -> None:
        """Start, keep and stop workers; `on_result(container_id, results)` is called at every change."""
        ...

    def stop(self, uid: PodUID, *, keep_readiness: bool) -> None: ...


class PodWatcher(Protocol):
    """Who wants to know about a pod's turns."""

    def finished(self, uid: PodUID) -> None:
        """The pod is gone for good from this node."""
        ...


class Dead(Protocol):
    """Keeps dead containers in bounds."""

    async def remove(self, runtime: Runtime, pod: AgentPod, observed: Observed, remove: RemoveContainer) -> None: ...

    def highest_log_numbers(self, pod: AgentPod, observed: Observed) -> Mapping[str, int]: ...


class PodUpkeep(Protocol):
    """What a pod needs now and then while it runs."""

    async def refresh(self, pod: AgentPod, *, anew: bool) -> None:
        """Bring the contents of its volumes up to date. `anew`: something that they are made from has changed."""
        ...

    def enrich(self, pod: AgentPod, observed: Observed) -> Observed:
        """Add the termination messages of exited containers."""
        ...

    def forget(self, container_ids: Collection[str]) -> None:
        """These containers have been removed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PodServices:
    """What supervisors work with; one value for all pods."""

    engine: StepEngine
    runtimes: RuntimeResolver
    statuses: StatusSink
    events: PodEvents
    probing: Probing
    upkeep: PodUpkeep
    dead: Dead
    kill_container: Callable[..., Awaitable[None]]
    addresses: Callable[[], NodeAddresses]
    now: Callable[[], datetime]
    crash_backoff_cap_seconds: float = 300.0
    resizing: Resizing = field(default_factory=NoResizing)


class PodSupervisor:
    """Runs one pod from its first sight to its last trace."""

    def __init__(self, desired: Desired, services: PodServices, *, rejected: StartFailure | None = None) -> None:
        self.uid = desired.pod.uid
        self._desired = desired
        self._services = services
        self._memory = Memory(rejected=rejected, start_time=_start_time(desired.pod) or services.now())
        self.stopped = asyncio.Event()  # its containers have ended, for good
        self._woken = asyncio.Event()
        self._woken.set()
        self._work: asyncio.Task[None] | None = None
        self._plan_wake_at: datetime | None = None
        self._blocked_until: datetime | None = None  # a whole pass failed: no other one before
        self._held_until: dict[str, datetime] = {}  # container name -> no start before
        self._resize_held_until: datetime | None = None
        self._resync_at = services.now() + _jittered(RESYNC_SECONDS)
        self._sources_changed = False  # of the volumes, since their last refresh
        self._refreshing: asyncio.Task[None] | None = None
        self._announced: dict[str, str] = {}
        self._last_observed = Observed()
        self._handler = ""  # the runtime's that runs the pod
        self._final_status_published = False
        self._turn_began: datetime | None = None
        self._records_removed = False

    # -- what others may do ------------------------------------------------------------------------------------------

    @property
    def desired(self) -> Desired:
        return self._desired

    @property
    def stage(self) -> Stage:
        return self._memory.stage

    @property
    def handler(self) -> str:
        """Of the runtime that runs the pod; empty before the first look."""
        return self._handler

    @property
    def rejected(self) -> bool:
        return self._memory.rejected is not None

    @property
    def turn_began(self) -> datetime | None:
        """When the turn began that is being taken; None: it waits for its next one."""
        return self._turn_began

    def update(self, desired: Desired, *, status_only: bool = False) -> None:
        """Take over a newer desired state. `status_only`: nothing else of it is new; mostly it is our own patch coming back."""
        if desired.removed and not self._desired.removed:
            log.info("pod %s was removed from its source %s", desired.pod.describe(), desired.pod.source)
        if desired.pod.spec != self._desired.pod.spec:
            # whoever changed the pod may have mended what was wrong
            self._held_until.clear()
            self._blocked_until = None
            self._resize_held_until = None
        self._desired = desired
        if not status_only:
            self._sources_changed = True  # downwardAPI volumes show the pod's own labels, annotations and resources
        if not (status_only and self._is_echo(desired.pod)):
            self.wake()

    def _is_echo(self, pod: AgentPod) -> bool:
        """Whether the API's status is the one that was sent, and asks for nothing."""
        ended = pod.status is not None and pod.status.phase in TERMINAL_PHASES
        return not ended and not pod.spec.readinessGates and self._services.statuses.in_step(pod)

    def wake(self) -> None:
        self._woken.set()

    def refresh(self) -> None:
        """Something that files of the pod's volumes are made from has changed."""
        self._sources_changed = True
        self.wake()

    def terminate(self, termination: Termination) -> None:
        """Ask the pod to end (eviction, preemption, shutdown). The last override wins; the grace period only shrinks."""
        current = self._memory.termination
        grace = termination.grace_seconds if current is None else min(current.grace_seconds, termination.grace_seconds)
        self._remember(termination=dataclasses.replace(termination, grace_seconds=grace))
        self.wake()

    # -- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the pod is gone. Errors are logged and the turn is taken again; only cancellation ends this early."""
        try:
            while not self._gone():
                await self._wait()
                self._turn_began = self._services.now()
                try:
                    await self._turn()
                except RuntimeFault as error:
                    self._event("Warning", "FailedSync", f"error determining status: {error}")
                    self._show_unseen()
                    self._block(1.0)
                except Exception:
                    log.exception("pod %s: unexpected error, will try again", self._desired.pod.describe())
                    self._block()
                finally:
                    self._turn_began = None
        finally:
            tasks = [task for task in (self._work, self._refreshing) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._services.probing.stop(self.uid, keep_readiness=False)

    async def _wait(self) -> None:
        at = self._next_look()
        timeout = None if at is None else max(0.0, (at - self._services.now()).total_seconds())
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    def _next_look(self) -> datetime | None:
        """When to take a turn without being woken."""
        times: list[datetime | None] = []
        sync = self._memory.stage is Stage.SYNC
        if sync and self._refreshing is None:
            times.append(self._resync_at)
        if self._work is None and self._blocked_until is not None:
            # nothing else begins before; what was due in the turn that has failed must not bring the next one on at once
            deadline = self._deadline_at()
            times += [
                self._blocked_until,
                deadline if deadline is not None and deadline > self._services.now() else None,
            ]
        elif self._work is None:  # else its end wakes
            times.append(self._deadline_at())
            if sync:
                times += [self._plan_wake_at, self._resize_held_until, *self._held_until.values()]
        return min((time for time in times if time is not None), default=None)

    async def _turn(self) -> None:
        now = self._services.now()
        self._let_go(now)
        self._refresh_volumes(now)
        runtime = self._runtime()
        observed = self._last_observed = await self._observe(runtime)
        self._check_end(now)
        plan, resize = None, NOTHING_DUE
        if runtime is not None and self._work is None and self._memory.stage is Stage.SYNC:
            resize = self._look_at_resize(observed)
            plan = self._plan(observed, now)
        status = self._publish(runtime, observed, now)
        self._advance(status)
        if runtime is not None and self._memory.stage is Stage.SYNC:
            self._services.probing.sync(self._desired.pod, observed, runtime, self._probe_result)
        if self._work is not None:
            if self._memory.stage is not Stage.SYNC and self._work.get_name() == "pass":
                self._work.cancel()  # its end wakes, and the ending begins
        elif self._blocked_until is not None:
            pass
        elif self._memory.stage is not Stage.SYNC:
            self._start_ending()
        elif runtime is not None and plan is not None:
            self._start_pass(runtime, observed, plan, resize, now)

    def _let_go(self, now: datetime) -> None:
        """Forget the holds that are over."""
        self._held_until = {name: until for name, until in self._held_until.items() if until > now}
        if self._blocked_until is not None and self._blocked_until <= now:
            self._blocked_until = None
        if self._resize_held_until is not None and self._resize_held_until <= now:
            self._resize_held_until = None

    # -- parts of a turn ---------------------------------------------------------------------------------------------

    def _runtime(self) -> Runtime | None:
        """The pod's runtime; None, with an event, while there is none for it."""
        if self._memory.rejected is not None:
            return None
        try:
            runtime = self._services.runtimes.resolve(self._desired.pod)
            self._handler = runtime.handler
            return runtime
        except UnknownRuntime as error:
            if self._memory.stage is Stage.SYNC:
                self._event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
                self._block()
            return None

    async def _observe(self, runtime: Runtime | None) -> Observed:
        if runtime is None or self._memory.stage is Stage.FINISHED:
            return self._last_observed  # what is removed by now is remembered for the last status
        return self._services.upkeep.enrich(self._desired.pod, await observe(runtime.service, self.uid))

    def _check_end(self, now: datetime) -> None:
        """Turn what ends a pod from outside into a termination."""
        pod = self._desired.pod
        current = self._memory.termination
        deadline = self._deadline_at()
        if pod.is_deleted or self._desired.removed:
            grace = pod_grace_seconds(pod, current)
            if current is None or current.grace_seconds != grace:
                base = current or Termination(grace_seconds=grace)
                self._remember(termination=dataclasses.replace(base, grace_seconds=grace))
        elif current is None and deadline is not None and deadline <= now:
            termination = deadline_exceeded(pod)
            self._event("Normal", termination.reason, termination.message)
            self._remember(termination=termination)

    def _look_at_resize(self, observed: Observed) -> Due:
        due = self._services.resizing.look(self._desired.pod, observed)
        replaced = awaiting(observed, {*self._memory.replaced, *due.restarts.values(), *due.replacing.values()})
        self._remember(resize_restarts=frozenset(due.restarts.values()), replaced=replaced)
        return due if self._resize_held_until is None or due.restarts else NOTHING_DUE

    def _plan(self, observed: Observed, now: datetime) -> Plan:
        plan = make_plan(
            self._desired,
            observed,
            self._memory,
            now,
            crash_backoff_cap_seconds=self._services.crash_backoff_cap_seconds,
            highest_log_numbers=self._services.dead.highest_log_numbers(self._desired.pod, observed),
        )
        failures = {name: failure for name, failure in self._memory.start_failures.items() if not _backing_off(failure)}
        replaced = self._memory.replaced | frozenset(replacing(plan).values())
        self._remember(start_failures={**failures, **plan.waiting}, replaced=replaced)
        for name, failure in plan.waiting.items():
            self._announce_backoff(name, failure)
        self._plan_wake_at = plan.wake_at
        removed = {item.container_id for item in plan.remove}
        dead = tuple(item for item in superfluous(observed) if item.container_id not in removed)
        return dataclasses.replace(
            plan,
            remove=plan.remove + dead,
            start=tuple(start for start in plan.start if start.name not in self._held_until),
        )

    def _publish(self, runtime: Runtime | None, observed: Observed, now: datetime) -> PodStatus:
        pod = self._desired.pod
        previous = self._services.statuses.cached(self.uid) or pod.status
        status = make_status(
            self._desired,
            observed,
            self._memory,
            previous,
            self._services.addresses(),
            now,
            runtime_name=runtime.display_name if runtime is not None else "nodeagent",
            recursive_read_only=any(m.recursive_read_only for i in observed.instances for m in i.status.mounts),
            resize_conditions=self._services.resizing.conditions(self.uid),
            actual_resources=self._services.resizing.actual(pod),
            in_force=self._services.resizing.in_force(self.uid),
        )
        if not self._desired.removed:
            may_run = self._memory.stage in (Stage.SYNC, Stage.TERMINATING)
            self._services.statuses.publish(pod, status, containers_may_run=may_run)
        self._final_status_published = self._memory.stage is Stage.FINISHED
        return status

    def _show_unseen(self) -> None:
        """A pod that no agent has looked at before, on a runtime that is down, has a status all the same: it waits."""
        pod = self._desired.pod
        if _start_time(pod) is None and self._services.statuses.cached(self.uid) is None:
            self._publish(None, Observed(), self._services.now())

    def _advance(self, status: PodStatus) -> None:
        if self._memory.stage is not Stage.SYNC:
            return
        ended_elsewhere = self._desired.pod.status is not None and self._desired.pod.status.phase in TERMINAL_PHASES
        if self._memory.termination is not None or status.phase in TERMINAL_PHASES or ended_elsewhere:
            self._remember(stage=Stage.TERMINATING)
            self._blocked_until = None
            if self._refreshing is not None:
                self._refreshing.cancel()  # what its volumes are to be is of no interest any more
            self._services.probing.stop(self.uid, keep_readiness=True)

    def _start_pass(self, runtime: Runtime, observed: Observed, plan: Plan, resize: Due, now: datetime) -> None:
        """Begin what the plan asks for."""
        if plan.kill_pod:
            self._begin("stop", self._stop_all)
        elif resize or plan.kill or plan.remove or plan.start or plan.create_sandbox is not None:
            work = Work(desired=self._desired, observed=observed, plan=plan, runtime=runtime)
            self._begin("pass", functools.partial(self._pass, work, resize))

    def _start_ending(self) -> None:
        stage = self._memory.stage
        if stage is Stage.TERMINATING:
            self._begin("stop", functools.partial(self._stop_all, next_stage=Stage.TERMINATED))
        elif stage is Stage.TERMINATED:
            self._begin("release", self._release)
        elif stage is Stage.FINISHED and not self._keeps_records() and not self._records_removed:
            self._begin("forget", self._forget)

    def _refresh_volumes(self, now: datetime) -> None:
        """Begin a refresh that is due, beside whatever pass is under way: a long pull must not keep old files in place.

        Changes that come while one runs make one more, however many they are.
        """
        due = self._sources_changed or self._resync_at <= now
        if not due or self._refreshing is not None or self._memory.stage is not Stage.SYNC:
            return
        anew, self._sources_changed = self._sources_changed, False
        self._resync_at = now + _jittered(RESYNC_SECONDS)
        if not self._keeps_records():
            return  # on its way out

        async def body() -> None:
            try:
                await self._services.upkeep.refresh(self._desired.pod, anew=anew)
            except Exception:
                log.exception("pod %s: refresh of its volumes failed", self._desired.pod.describe())
            finally:
                self._refreshing = None
                if self._sources_changed:
                    self.wake()

        self._refreshing = asyncio.create_task(body(), name="refresh")

    # -- work, one at a time -----------------------------------------------------------------------------------------

    def _begin(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        async def body() -> None:
            try:
                await work()
            except asyncio.CancelledError:
                if name != "pass" or self._memory.stage is Stage.SYNC:
                    raise
            except ExceptionGroup as group:
                for error in group.exceptions:
                    log.warning("pod %s: %s", self._desired.pod.describe(), error)
                self._event("Warning", "FailedKillPod", f"error killing pod: {group.exceptions[0]}")
                self._block(1.0)
            except Exception as error:
                log.exception("pod %s: %s failed", self._desired.pod.describe(), name)
                self._event("Warning", "FailedSync", str(error))
                self._block()
            finally:
                self._work = None
                self.wake()

        self._work = asyncio.create_task(body(), name=name)

    async def _pass(self, work: Work, resize: Due) -> None:
        stopped = replacing(work.plan)
        if resize.restarts or stopped:
            await self._services.resizing.restarting(work.pod, resize, stopped)
        for kill in work.plan.kill:
            await self._services.kill_container(
                work.runtime,
                work.pod,
                kill.container_id,
                kill.name,
                message=kill.message,
                grace_seconds=kill.grace_seconds,
                run_pre_stop=kill.run_pre_stop,
            )
        for remove in work.plan.remove:
            await self._services.dead.remove(work.runtime, work.pod, work.observed, remove)
        self._services.upkeep.forget([remove.container_id for remove in work.plan.remove])
        if resize and not await self._services.resizing.actuate(work.runtime, work.pod, work.observed, resize):
            self._resize_held_until = self._services.now() + _jittered(RETRY_SECONDS)
        errors: list[Exception] = []
        if work.plan.start or work.plan.create_sandbox is not None:
            errors = await self._services.engine.carry_out(work)
        self._merge(work)
        for error in errors:
            self._report(error)

    def _merge(self, work: Work) -> None:
        """Take over what a pass found out about the containers it was to start."""
        self._services.resizing.started(work.pod, work.started)
        failures = {name: failure for name, failure in self._memory.start_failures.items() if name not in work.started}
        backoffs = dict(self._memory.crash_backoffs)
        for name, backoff in work.started.items():
            self._announced.pop(name, None)
            if backoff is not None:
                backoffs[name] = backoff
        self._remember(start_failures={**failures, **work.failures}, crash_backoffs=backoffs)
        for name in work.failures:
            self._held_until[name] = self._services.now() + _jittered(work.retry_seconds.get(name, RETRY_SECONDS))

    def _report(self, error: Exception) -> None:
        if isinstance(error, StepError):
            if error.event_reason:
                self._event("Warning", error.event_reason, str(error))
            self._block(error.retry_seconds)
            return
        log.error("pod %s: %s", self._desired.pod.describe(), error, exc_info=error)
        self._event("Warning", "FailedSync", str(error) or type(error).__name__)
        self._block()

    async def _stop_all(self, next_stage: Stage | None = None) -> None:
        await self._services.engine.stop(self._ending(keep_records=self._keeps_records()))
        if next_stage is not None:
            self._services.probing.stop(self.uid, keep_readiness=False)
            self._remember(stage=next_stage)
            self._services.resizing.ended(self.uid)

    async def _release(self) -> None:
        keep_records = self._keeps_records()
        await self._services.engine.release(self._ending(keep_records=keep_records))
        self._records_removed = not keep_records
        self._forget_containers()
        self._remember(stage=Stage.FINISHED)

    async def _forget(self) -> None:
        """The object itself is to go: remove what was kept of a completed pod, then let the API drop the object."""
        ending = self._ending(keep_records=False)
        await self._services.engine.stop(ending)
        await self._services.engine.release(ending)
        self._records_removed = True
        self._forget_containers()

    # -- small things ------------------------------------------------------------------------------------------------

    def _ending(self, *, keep_records: bool) -> Ending:
        pod = self._desired.pod
        termination = self._memory.termination
        grace = termination.grace_seconds if termination is not None else pod_grace_seconds(pod, None)
        return Ending(
            pod=pod,
            uid=self.uid,
            grace_seconds=grace,
            runtimes=self._services.runtimes.all(),
            keep_records=keep_records,
            handler=self._handler,
        )

    def _forget_containers(self) -> None:
        if self._records_removed:
            self._services.upkeep.forget([instance.status.id for instance in self._last_observed.instances])

    def _keeps_records(self) -> bool:
        return not self._desired.pod.is_deleted and not self._desired.removed

    def _gone(self) -> bool:
        return self._records_removed and self._final_status_published and self._work is None

    def _deadline_at(self) -> datetime | None:
        if self._memory.termination is not None or self._memory.stage is not Stage.SYNC:
            return None
        return deadline_at(self._desired.pod, self._memory.start_time)

    def _probe_result(self, container_id: str, results: ProbeResults) -> None:
        self._remember(probes={**self._memory.probes, container_id: results})
        self.wake()

    def _announce_backoff(self, name: str, failure: StartFailure) -> None:
        if self._announced.get(name) == failure.message:
            return
        self._announced[name] = failure.message
        found = find_container(self._desired.pod, name)
        if found is not None:
            self._services.events.event(
                self._desired.pod,
                "Warning",
                "BackOff",
                f"Back-off restarting failed container {name} in pod {self._desired.pod.describe()}",
                field_path=field_path(found[0], name),
            )

    def _event(self, type: str, reason: str, message: str) -> None:
        self._services.events.event(self._desired.pod, type, reason, message)

    def _remember(self, **changes: object) -> None:
        self._memory = dataclasses.replace(self._memory, **changes)  # type: ignore[arg-type]  # names are Memory's own
        if self._memory.stage in (Stage.TERMINATED, Stage.FINISHED):
            self.stopped.set()

    def _block(self, seconds: float | None = None) -> None:
        """Begin no other pass for a while; observing and publishing go on."""
        until = self._services.now() + _jittered(RETRY_SECONDS if seconds is None else seconds)
        self._blocked_until = until if self._blocked_until is None else max(self._blocked_until, until)


def _start_time(pod: AgentPod) -> datetime | None:
    return pod.status.startTime if pod.status is not None else None


def _backing_off(failure: StartFailure) -> bool:
    return failure.reason == "CrashLoopBackOff"


def _jittered(seconds: float) -> timedelta:
    return timedelta(seconds=seconds * random.uniform(1.0, 1.5))
