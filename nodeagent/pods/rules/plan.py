"""What to do for a pod now: pure rules over what is wanted, what is there and what is remembered.

Source: docs/facts/pod-lifecycle.md 4.1 to 4.6 and 5.1. Unlike upstream there is no fixed delay between two passes: each start,
exit and probe result wakes the pod's supervisor, which plans again from what the runtime then holds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from nodeagent.pods.rules.backoff import RETRY, advance, crash_loop, held_until
from nodeagent.pods.rules.container_plan import Draft, plan_init, plan_regular
from nodeagent.pods.rules.model import (
    CrashBackoff,
    Desired,
    KillContainer,
    Memory,
    Observed,
    Plan,
    PodStage,
    RemoveContainer,
    StartContainer,
    StartFailure,
)
from nodeagent.pods.rules.replacement import is_replaced
from nodeagent.pods.rules.restart import restarts_after_exit
from nodeagent.pods.rules.restart_all import plan_restart_all
from nodeagent.pods.rules.runtime_view import (
    CREATED,
    EXITED,
    RUNNING,
    UNKNOWN,
    instances_of,
    name_of_instance,
    newest,
    newest_exited,
    restart_count_of,
    sandbox_changed,
    timestamp,
)
from nodeagent.pods.rules.termination import deadline_at
from nodeagent.podspec.containers import AnyContainer, ContainerKind, containers
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.linux.retry import RetryPolicy


def make_plan(
    desired: Desired,
    observed: Observed,
    memory: Memory,
    now: datetime,
    *,
    crash_backoff: RetryPolicy = RETRY,
    highest_log_numbers: Mapping[str, int] | None = None,
) -> Plan:
    """The actions for one pod at `now`, and when to plan again without an event.

    `highest_log_numbers`: container name -> n of the newest `<n>.log` in its log folder, the restart count's last resort
    for containers of which the runtime has no record.
    """
    pod = desired.pod
    if memory.stage is not PodStage.SYNC or memory.rejected is not None:
        return _end(observed)
    restart_all = plan_restart_all(pod, observed)
    if restart_all is not None:
        return _with_deadline(restart_all, pod, memory)
    if sandbox_changed(pod, observed):
        draft = _new_sandbox(pod, observed, memory)
    else:
        draft = Draft(ephemeral=_ephemeral_to_start(pod, observed))
        if plan_init(pod, observed, memory, draft) and not draft.kill_pod:
            plan_regular(pod, observed, memory, draft)
    if draft.kill_pod:
        return _with_deadline(_end(observed), pod, memory)
    starts = _Starts(pod, observed, memory, now, crash_backoff, highest_log_numbers or {})
    made = starts.make(draft)
    return _with_deadline(made, pod, memory)


class _Starts:
    """Turns the names of containers to start into start actions, holding back those in crash back-off."""

    def __init__(
        self,
        pod: AgentPod,
        observed: Observed,
        memory: Memory,
        now: datetime,
        crash_backoff: RetryPolicy,
        highest_log_numbers: Mapping[str, int],
    ) -> None:
        self._pod = pod
        self._observed = observed
        self._memory = memory
        self._now = now
        self._crash_backoff = crash_backoff
        self._highest_log_numbers = highest_log_numbers

    def make(self, draft: Draft) -> Plan:
        wanted = {*draft.ephemeral, *draft.init, *draft.regular}
        ordered = sorted(
            ((kind, found) for kind, found in containers(self._pod) if found.name in wanted),
            key=lambda pair: pair[0] is not ContainerKind.EPHEMERAL,  # ephemeral ones first, the rest in spec order
        )
        start: list[StartContainer] = []
        unstarted: list[RemoveContainer] = []
        waiting: dict[str, StartFailure] = {}
        wake_at: datetime | None = None
        for kind, container in ordered:
            until, backoff = self._backoff(container)
            if until is None:
                count = self._restart_count(container.name)
                start.append(StartContainer(name=container.name, kind=kind, restart_count=count, backoff=backoff))
                unstarted += _never_started(self._observed, container.name)
                continue
            assert backoff is not None
            waiting[container.name] = crash_loop(self._pod, container, backoff)
            wake_at = until if wake_at is None else min(wake_at, until)
            if kind is ContainerKind.INIT:
                break  # what comes after an init container waits for it
        prune = _extra_dead_init(self._pod, self._observed) if draft.init else ()
        return Plan(
            kill=tuple(draft.kill),
            remove=tuple(dict.fromkeys((*draft.remove, *prune, *unstarted))),
            create_sandbox=draft.create_sandbox,
            sandbox_changed=draft.sandbox_changed,
            start=tuple(start),
            waiting=waiting,
            wake_at=wake_at,
        )

    def _backoff(self, container: AnyContainer) -> tuple[datetime | None, CrashBackoff | None]:
        """(held until, the back-off that holds it), or (None, the back-off to remember with the start)."""
        dead = newest_exited(self._observed, container.name)
        if dead is None:
            return None, None
        finished_at = timestamp(dead.status.finished_at) or self._now
        known = self._memory.crash_backoffs.get(container.name)
        until = held_until(known, container, finished_at)
        if until is not None and self._now < until:
            return until, known
        return None, advance(known, container, finished_at, self._now, policy=self._crash_backoff)

    def _restart_count(self, name: str) -> int:
        latest = newest(self._observed, name)
        if latest is not None:
            # one that was created and never started (its agent died, or was overtaken) has not run: its turn is taken again
            return restart_count_of(latest.status) + (latest.status.state != CREATED)
        highest = self._highest_log_numbers.get(name)
        return 0 if highest is None else highest + 1


def _new_sandbox(pod: AgentPod, observed: Observed, memory: Memory) -> Draft:
    """Section 4.1: everything stops and starts over in a new sandbox, unless there is nothing left to run."""
    attempt = observed.sandboxes[0].metadata.attempt + 1 if observed.sandboxes else 0
    if pod.spec.restartPolicy == "Never" and attempt != 0 and observed.instances:
        return Draft(kill_pod=True)
    to_start = [item.name for item in pod.spec.containers if not _done_on_failure(pod, observed, memory, item)]
    if not to_start:
        return Draft(kill_pod=True)
    init = [container.name for container in pod.spec.initContainers or ()]
    return Draft(
        kill=_stops(observed),
        remove=[
            RemoveContainer(container_id=instance.status.id, name=name)
            for name in init
            for instance in instances_of(observed, name)
        ],
        create_sandbox=attempt,
        sandbox_changed=bool(observed.sandboxes),
        init=init[:1],
        regular=[] if init else to_start,
    )


def _done_on_failure(pod: AgentPod, observed: Observed, memory: Memory, container: AnyContainer) -> bool:
    """Whether a regular container under OnFailure has exited 0 and so does not run again in a new sandbox."""
    if (container.restartPolicy or pod.spec.restartPolicy or "Always") != "OnFailure":
        return False
    latest = newest(observed, container.name)
    if latest is None or latest.status.state != EXITED or latest.status.exit_code != 0:
        return False
    if is_replaced(memory, latest.status.id):
        return False
    return not restarts_after_exit(pod, container, 0)


def _ephemeral_to_start(pod: AgentPod, observed: Observed) -> list[str]:
    return [item.name for item in pod.spec.ephemeralContainers or () if newest(observed, item.name) is None]


def _never_started(observed: Observed, name: str) -> Iterator[RemoveContainer]:
    """Instances that were created and not started: what starts now takes their place."""
    for instance in instances_of(observed, name):
        if instance.status.state == CREATED:
            yield RemoveContainer(container_id=instance.status.id, name=name)


def _extra_dead_init(pod: AgentPod, observed: Observed) -> tuple[RemoveContainer, ...]:
    """All dead instances of init containers but the newest of each."""
    extra: list[RemoveContainer] = []
    for container in pod.spec.initContainers or ():
        dead = [item for item in instances_of(observed, container.name) if item.status.state in (EXITED, UNKNOWN)]
        extra += (RemoveContainer(container_id=item.status.id, name=container.name) for item in dead[1:])
    return tuple(extra)


def _end(observed: Observed) -> Plan:
    """Stop the pod, where anything of it is left to stop."""
    left = any(sandbox.state == cri.SANDBOX_READY for sandbox in observed.sandboxes)
    left = left or any(instance.status.state in (RUNNING, UNKNOWN) for instance in observed.instances)
    return Plan(kill_pod=left)


def _stops(observed: Observed) -> list[KillContainer]:
    return [
        KillContainer(container_id=instance.status.id, name=name, message=f"Stopping container {name}")
        for instance in observed.instances
        if instance.status.state == RUNNING
        for name in (name_of_instance(instance),)
    ]


def _with_deadline(made: Plan, pod: AgentPod, memory: Memory) -> Plan:
    start_time = memory.start_time or (pod.status.startTime if pod.status is not None else None)
    deadline = deadline_at(pod, start_time)
    if deadline is None:
        return made
    return replace(made, wake_at=deadline if made.wake_at is None else min(made.wake_at, deadline))
