"""One pod's supervisor: the only one that acts on its pod.

    wake ──> observe ──> plan ──> status (published at once) ──> work (one pass at a time, beside this loop)
      ^                                                            │
      └── new desired state, runtime event, probe result, end of work, end of a back-off or deadline

Stages go one way (`model.PodStage`). The loop never waits for work: it goes on observing and publishing while containers are
pulled, started or stopped, and gives up a pass that is overtaken by the pod's termination.
"""

import asyncio
import dataclasses
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Set
from contextlib import AbstractContextManager
from datetime import datetime

from lightkube.models.core_v1 import PodStatus

from nodeagent import logs
from nodeagent.pods.current_work import CurrentWork, WorkKind
from nodeagent.pods.dead_containers import superfluous
from nodeagent.pods.features.contract import Contribution
from nodeagent.pods.features.features import Features
from nodeagent.pods.observation import before_hooks, observe
from nodeagent.pods.rules.model import (
    Desired,
    Memory,
    Observed,
    Plan,
    PodStage,
    ProbeResults,
    RemoveContainer,
    StartFailure,
    Termination,
)
from nodeagent.pods.rules.plan import make_plan
from nodeagent.pods.rules.replacement import awaiting, replacing
from nodeagent.pods.rules.runtime_view import name_of_instance
from nodeagent.pods.rules.termination import deadline_at, deadline_exceeded, pod_grace_seconds, rejected
from nodeagent.pods.services import Operation, PodServices, UnknownRuntime
from nodeagent.pods.status.phase import has_ended, is_terminal
from nodeagent.pods.status.pod import pod_status
from nodeagent.pods.steps.contract import StepError, SyncPass
from nodeagent.pods.sync_backoff import SyncBackoff
from nodeagent.pods.teardown import Teardown
from nodeagent.pods.volume_refresh import VolumeRefresh
from nodeagent.podspec.containers import field_path, find_container
from nodeagent.podspec.pod import AgentPod
from runtimes.errors import RuntimeFault
from runtimes.registry import Runtime

log = logging.getLogger(__name__)


_SPANS = {Operation.SYNC: "observePod", Operation.KILL: "syncTerminatingPod"}


class PodSupervisor:
    """Runs one pod from its first sight to its last trace."""

    def __init__(self, desired: Desired, services: PodServices, *, rejected: StartFailure | None = None) -> None:
        self.uid = desired.pod.uid
        self._desired = desired
        self._services = services
        self._features = Features(services.features)
        self._memory = Memory(rejected=rejected, start_time=_start_time(desired.pod) or services.now())
        # The pod, while it holds resources: noted, since each start asks all others.
        self.active: AgentPod | None = None
        self._note_active()
        self.stopped = asyncio.Event()  # its containers have ended, for good
        self.released = asyncio.Event()  # its volumes and cgroup are given back, too
        self._woken = asyncio.Event()
        self._woken.set()
        self._work = CurrentWork(failed=self._work_failed, ended=self.wake)
        self.backoff = SyncBackoff(services.now)
        self._refresh = VolumeRefresh(desired.pod.describe(), self._refresh_volumes, self.wake, services.now())
        self._wake_at: tuple[datetime | None, ...] = ()  # of the last plan, and of the features
        self._announced: dict[str, str] = {}
        self._last_observed = Observed()
        self._hooked: Set[str] = frozenset()  # of the pass that is under way (`SyncPass.hooked`)
        self._handler = ""  # the runtime's that runs the pod
        self._final_status_published = False
        self._sync_began: datetime | None = None
        self._records_removed = False
        self._emptied = False  # of dead containers, while the rest of its records is kept

    # -- what others may do ------------------------------------------------------------------------------------------

    @property
    def desired(self) -> Desired:
        return self._desired

    @property
    def stage(self) -> PodStage:
        return self._memory.stage

    @property
    def doing(self) -> WorkKind:
        return self._work.doing

    @property
    def handler(self) -> str:
        """Of the runtime that runs the pod; empty before the first look."""
        return self._handler

    @property
    def sync_began(self) -> datetime | None:
        """When the sync that is under way began; None: the pod waits for its next one."""
        return self._sync_began

    def update(self, desired: Desired, *, status_only: bool = False) -> None:
        """Take over a newer desired state. `status_only`: nothing else of it is new; mostly it is our own patch coming back."""
        if desired.removed and not self._desired.removed:
            log.info("pod %s was removed from its source %s", desired.pod.describe(), desired.pod.source)
        if desired.pod.spec != self._desired.pod.spec:
            self.backoff.clear()
            self._features.updated(desired.pod)
        self._desired = desired
        self._note_active()
        if not status_only:
            self._refresh.sources_changed()  # downwardAPI volumes show the pod's own labels, annotations and resources
        if not (status_only and self._is_echo(desired.pod)):
            self.wake()

    def _is_echo(self, pod: AgentPod) -> bool:
        """Whether the API's status is the one that was sent, and asks for nothing."""
        return not has_ended(pod) and not pod.spec.readinessGates and self._services.statuses.in_step(pod)

    def wake(self) -> None:
        self._woken.set()

    def runtime_changed(self) -> None:
        """Something of the pod has changed in its runtime. While all of it is removed nothing follows from that."""
        if self._work.doing not in (WorkKind.RELEASE, WorkKind.FORGET):
            self.wake()

    def refresh(self) -> None:
        """Something that files of the pod's volumes are made from has changed."""
        self._refresh.sources_changed()
        self.wake()

    def terminate(self, termination: Termination) -> None:
        """Ask the pod to end (eviction, preemption, shutdown). The last override wins; the grace period only shrinks.

        A stop that is under way goes on with the grace it has; only one that is to be at once overtakes it.
        """
        current = self._memory.termination
        if current is not None:
            grace = min(current.grace_seconds, termination.grace_seconds)
            at_once = current.at_once or termination.at_once
            termination = dataclasses.replace(termination, grace_seconds=grace, at_once=at_once)
        self._remember(termination=termination)
        if termination.at_once and not (current is not None and current.at_once):
            self._work.give_up(WorkKind.STOP)  # its end wakes, and the next one begins
        self.wake()

    async def remove_dead(self) -> None:
        """Room is needed: remove the dead containers, with their logs, of a pod that has ended and is kept. Its status stays."""
        if self._memory.stage is PodStage.FINISHED and self._keeps_records() and self._work.idle and not self._emptied:
            self._work.begin(WorkKind.FORGET, self._remove_dead)
            await self._work.join()

    # -- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the pod is gone. Errors are logged and the sync is tried again; only cancellation ends this early."""
        pod = self._desired.pod
        logs.POD.set(logs.PodField(namespace=pod.namespace, name=pod.name, uid=pod.uid))
        try:
            while not self._gone():
                await self._wait()
                self._sync_began = self._services.now()
                try:
                    await self._timed(Operation.SYNC, self._sync)
                except RuntimeFault as error:
                    self._event("Warning", "FailedSync", f"error determining status: {error}")
                    self._show_unseen()
                    self.backoff.block(1.0)
                except Exception:
                    log.exception("pod %s: unexpected error, will try again", self._desired.pod.describe())
                    self.backoff.block()
                finally:
                    self._sync_began = None
        finally:
            await asyncio.gather(self._work.leave(), self._refresh.leave())
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
        """When to sync without being woken."""
        times: list[datetime | None] = []
        sync = self._memory.stage is PodStage.SYNC
        if sync:
            times.append(self._refresh.next_at)
        if self._work.idle:  # else its end wakes
            deadline = self._deadline_at()
            if self.backoff.blocked_until is None:
                times += [
                    deadline,
                    *(self._wake_at if sync else ()),
                    *(self.backoff.held_until.values() if sync else ()),
                ]
            else:
                # nothing begins before; what was due in the sync that has failed must not bring the next one on at once
                times.append(self.backoff.blocked_until)
                times.append(deadline if deadline is not None and deadline > self._services.now() else None)
        return min((time for time in times if time is not None), default=None)

    async def _sync(self) -> None:
        now = self._services.now()
        self.backoff.drop_over(now)
        if self._memory.stage is PodStage.SYNC:
            self._refresh.begin_due(now, wanted=self._keeps_records())
        runtime = self._runtime()
        observed = self._last_observed = await self._observe(runtime)
        self._check_end(now)
        plan, wanted = None, Contribution()
        if runtime is not None and self._work.idle and self._memory.stage is PodStage.SYNC:
            wanted = self._ask_features(observed)
            plan = self._plan(observed, wanted, now)
        status = self._publish(runtime, observed, now)
        self._advance(status)
        if self._memory.stage is not PodStage.SYNC:
            self._work.give_up(WorkKind.PASS)  # its end wakes, and the ending begins
        elif runtime is not None:
            self._services.probing.sync(self._desired.pod, observed, runtime, self._probe_result)
        if not self._work.idle or self.backoff.blocked_until is not None:
            return
        if self._memory.stage is not PodStage.SYNC:
            self._begin_ending()
        elif runtime is not None and plan is not None:
            self._begin_pass(SyncPass(desired=self._desired, observed=observed, plan=plan, runtime=runtime), wanted)

    # -- parts of a sync ---------------------------------------------------------------------------------------------

    def _runtime(self) -> Runtime | None:
        """The pod's runtime; None, with an event, while there is none for it."""
        if self._memory.rejected is not None:
            return None
        try:
            runtime = self._services.runtimes.resolve(self._desired.pod)
            self._handler = runtime.handler
            return runtime
        except UnknownRuntime as error:
            if self._memory.stage is PodStage.SYNC:
                self._event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
                self.backoff.block()
            return None

    async def _observe(self, runtime: Runtime | None) -> Observed:
        if runtime is None or self._memory.stage is PodStage.FINISHED:
            return self._last_observed  # what is removed by now is remembered for the last status
        observed = self._services.termination_messages.add_to(await observe(runtime.service, self.uid))
        return before_hooks(observed, self._hooked)

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

    def _ask_features(self, observed: Observed) -> Contribution:
        wanted = self._features.observed(self._desired.pod, observed)
        replaced = awaiting(observed, self._memory.replaced | wanted.replaced)
        self._remember(restarts=wanted.restarts, replaced=replaced)
        return wanted

    def _plan(self, observed: Observed, wanted: Contribution, now: datetime) -> Plan:
        plan = make_plan(
            self._desired,
            observed,
            self._memory,
            now,
            crash_backoff=self._services.crash_backoff,
            highest_log_numbers=self._services.dead_containers.highest_log_numbers(self._desired.pod, observed),
        )
        failures = {name: failure for name, failure in self._memory.start_failures.items() if not _backing_off(failure)}
        replaced = self._memory.replaced | frozenset(replacing(plan).values())
        self._remember(start_failures={**failures, **plan.waiting}, replaced=replaced)
        for name, failure in plan.waiting.items():
            self._announce_backoff(name, failure)
        self._wake_at = (plan.wake_at, wanted.wake_at)
        removed = {item.container_id for item in plan.remove}
        dead = tuple(item for item in superfluous(observed) if item.container_id not in removed)
        return dataclasses.replace(
            plan,
            remove=plan.remove + dead,
            start=tuple(start for start in plan.start if start.name not in self.backoff.held_until),
        )

    def _publish(self, runtime: Runtime | None, observed: Observed, now: datetime) -> PodStatus:
        pod = self._desired.pod
        status = pod_status(
            self._desired,
            observed,
            self._memory,
            self._services.statuses.cached(self.uid) or pod.status,
            self._services.addresses(),
            now,
            runtime_name=runtime.display_name if runtime is not None else "nodeagent",
            recursive_read_only=any(m.recursive_read_only for i in observed.instances for m in i.status.mounts),
            additions=self._features.status(pod),
        )
        if not self._desired.removed:
            may_run = self._memory.stage in (PodStage.SYNC, PodStage.TERMINATING)
            self._services.statuses.publish(pod, status, containers_may_run=may_run)
        self._final_status_published = self._memory.stage is PodStage.FINISHED
        return status

    def _show_unseen(self) -> None:
        """A pod that no agent has looked at before, on a runtime that is down, has a status all the same: it waits."""
        pod = self._desired.pod
        if _start_time(pod) is None and self._services.statuses.cached(self.uid) is None:
            self._publish(None, Observed(), self._services.now())

    def _advance(self, status: PodStatus) -> None:
        if self._memory.stage is not PodStage.SYNC:
            return
        if self._memory.termination is not None or is_terminal(status.phase) or has_ended(self._desired.pod):
            self._remember(stage=PodStage.TERMINATING)
            self.backoff.unblock()
            self._refresh.cancel()
            self._services.probing.stop(self.uid, keep_readiness=True)

    def _begin_pass(self, work: SyncPass, wanted: Contribution) -> None:
        """Begin what the plan and the features ask for."""
        plan = work.plan
        if plan.kill_pod:
            self._begin(WorkKind.STOP, Operation.KILL, self._stop_all)
        elif wanted.has_work or plan.kill or plan.remove or plan.start or plan.create_sandbox is not None:
            operation = Operation.UPDATE if plan.create_sandbox is None else Operation.CREATE
            self._begin(WorkKind.PASS, operation, functools.partial(self._pass, work, wanted))

    def _begin_ending(self) -> None:
        stage = self._memory.stage
        if stage is PodStage.TERMINATING:
            stop = functools.partial(self._stop_all, next_stage=PodStage.TERMINATED)
            self._begin(WorkKind.STOP, Operation.KILL, stop)
        elif stage is PodStage.TERMINATED:
            self._work.begin(WorkKind.RELEASE, self._release)
        elif stage is PodStage.FINISHED and not self._keeps_records() and not self._records_removed:
            self._work.begin(WorkKind.FORGET, self._forget)

    def _begin(self, doing: WorkKind, operation: Operation, work: Callable[[], Awaitable[None]]) -> None:
        self._work.begin(doing, functools.partial(self._timed, operation, work))

    async def _timed(self, operation: Operation, work: Callable[[], Awaitable[None]]) -> None:
        began = time.monotonic()
        try:
            with self._span(_SPANS.get(operation, "syncPod"), operation.value):
                await work()
        finally:
            self._services.observe(operation, time.monotonic() - began)

    def _span(self, name: str, update_type: str) -> AbstractContextManager[object]:
        """A trace of one piece of work, with a kubelet's names."""
        pod = self._desired.pod
        attributes = {
            "k8s.pod.uid": self.uid,
            "k8s.pod.name": pod.name,
            "k8s.namespace.name": pod.namespace,
            "k8s.pod": f"{pod.namespace}/{pod.name}",
            "k8s.pod.update_type": update_type,
        }
        return self._services.tracer.span(name, attributes)

    # -- work, one at a time -----------------------------------------------------------------------------------------

    async def _pass(self, work: SyncPass, wanted: Contribution) -> None:
        stopped = replacing(work.plan)
        if wanted.restarts or stopped:
            await self._features.before_stop(work.pod, stopped)
        for kill in work.plan.kill:
            await self._services.terminator.kill_container(
                work.runtime,
                work.pod,
                kill.container_id,
                kill.name,
                message=kill.message,
                grace_seconds=kill.grace_seconds,
                run_pre_stop=kill.run_pre_stop,
            )
        for remove in work.plan.remove:
            await self._services.dead_containers.remove(work.runtime, work.pod, work.observed, remove)
        self._services.termination_messages.forget([remove.container_id for remove in work.plan.remove])
        if wanted.has_work:
            await self._features.act(work.runtime, work.pod, work.observed)
        errors: list[Exception] = []
        self._hooked = work.hooked
        try:
            if work.plan.start or work.plan.create_sandbox is not None:
                errors = await self._services.engine.carry_out(work)
        finally:
            self._merge(work)  # a pass that is given up has started containers, too
        for error in errors:
            self._report(error)

    def _merge(self, work: SyncPass) -> None:
        """Take over what a pass found out about the containers it was to start."""
        self._features.started(work.pod, work.started)
        failures = {name: failure for name, failure in self._memory.start_failures.items() if name not in work.started}
        backoffs = dict(self._memory.crash_backoffs)
        for name, backoff in work.started.items():
            self._announced.pop(name, None)
            if backoff is not None:
                backoffs[name] = backoff
        self._remember(start_failures={**failures, **work.failures}, crash_backoffs=backoffs)
        for name in work.failures:
            self.backoff.hold(name, work.retry_seconds.get(name))

    def _report(self, error: Exception) -> None:
        if isinstance(error, StepError) and error.rejection:
            self._event("Warning", error.rejection, str(error))
            self.terminate(rejected(self._desired.pod, error.rejection, str(error)))
            return
        if isinstance(error, StepError):
            if error.event_reason:
                self._event("Warning", error.event_reason, str(error))
            self.backoff.block(error.retry_seconds)
            return
        log.error("pod %s: %s", self._desired.pod.describe(), error, exc_info=error)
        self._event("Warning", "FailedSync", str(error) or type(error).__name__)
        self.backoff.block()

    def _work_failed(self, doing: WorkKind, error: Exception) -> None:
        pod = self._desired.pod.describe()
        if isinstance(error, ExceptionGroup):
            for each in error.exceptions:
                log.warning("pod %s: %s", pod, each)
            self._event("Warning", "FailedKillPod", f"error killing pod: {error.exceptions[0]}")
            self.backoff.block_teardown()
        else:
            log.error("pod %s: %s failed", pod, doing.value, exc_info=error)
            self._event("Warning", "FailedSync", str(error))
            self.backoff.block()

    async def _stop_all(self, next_stage: PodStage | None = None) -> None:
        teardown = self._teardown(keep_records=self._keeps_records())
        await self._services.engine.stop(teardown)
        if next_stage is not None:
            await self._services.engine.give_back(teardown)
            self._services.probing.stop(self.uid, keep_readiness=False)
            self._remember(stage=next_stage)
            self._features.ended(self.uid)

    async def _release(self) -> None:
        keep_records = self._keeps_records()
        with self._span("syncTerminatedPod", Operation.KILL.value):
            await self._services.engine.release(self._teardown(keep_records=keep_records))
        self._records_removed = not keep_records
        self._forget_containers()
        self._remember(stage=PodStage.FINISHED)

    async def _forget(self) -> None:
        """The object itself is to go: remove what was kept of a completed pod, then let the API drop the object."""
        teardown = self._teardown(keep_records=False)
        await self._services.engine.stop(teardown)
        await self._services.engine.give_back(teardown)
        await self._services.engine.release(teardown)
        self._records_removed = True
        self._forget_containers()

    async def _remove_dead(self) -> None:
        pod, observed = self._desired.pod, self._last_observed
        runtime = self._services.runtimes.resolve(pod)
        for instance in observed.instances:
            gone = RemoveContainer(container_id=instance.status.id, name=name_of_instance(instance))
            await self._services.dead_containers.remove(runtime, pod, observed, gone)
        self._emptied = True

    async def _refresh_volumes(self, anew: bool) -> None:
        await self._services.volumes.refresh(self._desired.pod, anew=anew)

    # -- small things ------------------------------------------------------------------------------------------------

    def _teardown(self, *, keep_records: bool) -> Teardown:
        pod = self._desired.pod
        termination = self._memory.termination
        grace = termination.grace_seconds if termination is not None else pod_grace_seconds(pod, None)
        return Teardown(
            pod=pod,
            uid=self.uid,
            grace_seconds=grace,
            runtimes=self._services.runtimes.all(),
            keep_records=keep_records,
            handler=self._handler,
            at_once=termination is not None and termination.at_once,
        )

    def _forget_containers(self) -> None:
        if self._records_removed:
            self._services.termination_messages.forget(
                [instance.status.id for instance in self._last_observed.instances]
            )

    def _keeps_records(self) -> bool:
        return not self._desired.pod.is_deleted and not self._desired.removed

    def _gone(self) -> bool:
        return self._records_removed and self._final_status_published and self._work.idle

    def _deadline_at(self) -> datetime | None:
        if self._memory.termination is not None or self._memory.stage is not PodStage.SYNC:
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
        self._note_active()
        if self._memory.stage in (PodStage.TERMINATED, PodStage.FINISHED):
            self.stopped.set()
        if self._memory.stage is PodStage.FINISHED:
            self.released.set()

    def _note_active(self) -> None:
        """A pod that had ended before the agent started has nothing left, even while its supervisor has not yet looked."""
        pod, stage = self._desired.pod, self._memory.stage
        holds = stage is PodStage.TERMINATING or (stage is PodStage.SYNC and not has_ended(pod))
        self.active = pod if holds and self._memory.rejected is None else None


def _start_time(pod: AgentPod) -> datetime | None:
    return pod.status.startTime if pod.status is not None else None


def _backing_off(failure: StartFailure) -> bool:
    return failure.reason == "CrashLoopBackOff"
