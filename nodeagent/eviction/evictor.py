"""Ends pods when the node is short of something: what is nobody's first, then one pod, until it is enough.

Source: docs/facts/node-resources.md 5.3 to 5.8. A hard threshold means that the node cannot wait: its victim is killed at once,
where a kubelet still gives it two seconds; and so is the victim of a soft threshold when a hard one is met before its end,
which a kubelet does not look at meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from nodeagent.api.events import WARNING, Events, NodeEvents
from nodeagent.config.eviction import Signal
from nodeagent.eviction import rules
from nodeagent.eviction.messages import told
from nodeagent.eviction.pressure import PressureWatch
from nodeagent.eviction.ranking import victims
from nodeagent.eviction.thresholds import Layout, Threshold
from nodeagent.eviction.usage import PodUsage
from nodeagent.pods.admission.gate import KillError
from nodeagent.pods.rules.model import Termination
from nodeagent.podspec.pod import AgentPod, PodUID
from runtimes.errors import RuntimeFault
from runtimes.linux.tasks import end_tasks

log = logging.getLogger(__name__)

REASON = "Evicted"
MINIMUM_GRACE_SECONDS = 1
RELEASE_SECONDS = 30.0  # so long for a victim's volumes and cgroup to go, before the node is looked at again


class Pods(Protocol):
    """Implemented by `pods.manager.PodManager`."""

    def active_pods(self) -> list[AgentPod]: ...

    async def end(self, pod: AgentPod, termination: Termination) -> None: ...

    def terminate(self, uid: PodUID, termination: Termination) -> bool: ...

    async def released(self, uid: PodUID) -> None: ...

    async def remove_dead(self) -> None: ...


class Usages(Protocol):
    """Implemented by `usage_reader.UsageReader`."""

    async def read(self, pods: Sequence[AgentPod], *, disks: bool) -> list[PodUsage]: ...


class Wakeups(Protocol):
    """When to look before the time has come (`wakeups.KernelWakeups`)."""

    async def wait(self, seconds: float) -> None:
        """Until something may have happened, at most so long."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaim:
    """What makes room without a pod's end."""

    dead_containers: Callable[[], Awaitable[None]]
    unused_images: Callable[[], Awaitable[object]]


class Evictor:
    """`maximum_grace_seconds`: evictionMaxPodGracePeriod, for soft ones. `counted`: told of each eviction, by its signal and
    the age in seconds of the figures that chose the pod.
    """

    def __init__(
        self,
        watch: PressureWatch,
        pods: Pods,
        usages: Usages,
        events: Events,
        node_events: NodeEvents,
        reclaim: Reclaim,
        wakeups: Wakeups,
        *,
        maximum_grace_seconds: int,
        counted: Callable[[str, float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watch = watch
        self._pods = pods
        self._usages = usages
        self._events = events
        self._node_events = node_events
        self._reclaim = reclaim
        self._wakeups = wakeups
        self._maximum_grace_seconds = maximum_grace_seconds
        self._counted = counted
        self._clock = clock
        self._leaving: set[PodUID] = set()
        self._in_vain_until: dict[Threshold, float] = {}  # there was nothing to end for it: not tried again before

    async def run(self) -> None:
        while True:
            try:
                await self._watch.look()
                if await self.act():
                    continue
                seconds = self._watch.next_look_seconds()
            except Exception:  # one pod that cannot be judged must not end the agent
                log.exception("the node's pressure could not be dealt with, will try again")
                seconds = rules.PERIOD_SECONDS
            await self._wakeups.wait(seconds)

    async def act(self) -> bool:
        """Act on the most urgent threshold of the last look; whether a pod was evicted."""
        now = self._clock()
        due = [item for item in self._watch.due() if now >= self._in_vain_until.get(item, now)]
        if not due:
            return False
        threshold = due[0]
        self._in_vain_until.pop(threshold, None)
        short = rules.resource(threshold.signal)
        self._node_events.node_event(WARNING, "EvictionThresholdMet", f"Attempting to reclaim {short}")
        if threshold.signal in rules.DISK and await self._made_room(threshold.signal):
            return False
        active = self._pods.active_pods()
        self._leaving &= {pod.uid for pod in active}
        candidates = [pod for pod in active if pod.uid not in self._leaving]
        read_at = self._clock()
        usages = await self._usages.read(candidates, disks=threshold.signal in rules.DISK)
        chosen = next(iter(victims(usages, threshold.signal, self._watch.layout)), None)
        if chosen is None:
            log.warning("the node is low on %s, and there is no pod to evict", short)
            self._in_vain_until[threshold] = self._clock() + rules.PERIOD_SECONDS
            return False
        await self._evict(chosen, threshold, read_at)
        return True

    async def _made_room(self, signal: Signal) -> bool:
        """Whether it is enough that what is nobody's was removed."""
        dead, images = reclaimable(signal, self._watch.layout)
        if not (dead or images):
            return False
        if dead:
            await self._reclaim.dead_containers()
        if images:
            try:
                await self._reclaim.unused_images()
            except RuntimeFault as error:
                log.warning("unused images cannot be removed: %s", error)
        await self._watch.look()
        return not self._watch.due()

    async def _evict(self, usage: PodUsage, threshold: Threshold, read_at: float) -> None:
        pod = usage.pod
        text = told(usage, threshold, self._watch.seen.get(threshold.signal))
        log.warning("pod %s is evicted: %s", pod.describe(), text.message)
        self._events.event(pod, WARNING, REASON, text.message, annotations=text.annotations)
        self._counted(str(threshold.signal), self._clock() - read_at)
        termination = Termination(
            grace_seconds=grace_seconds(pod, threshold, self._maximum_grace_seconds),
            reason=REASON,
            message=text.message,
            failed=True,
            disruption_message=text.message,
            at_once=threshold.hard,
        )
        self._leaving.add(pod.uid)
        try:
            await self._end(pod, termination)
        except KillError as error:
            log.warning("pod %s: %s", pod.describe(), error)  # it counts as evicted all the same
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._pods.released(pod.uid)
        except TimeoutError:
            log.warning("pod %s was evicted, and still holds volumes or its cgroup", pod.describe())

    async def _end(self, pod: AgentPod, termination: Termination) -> None:
        """Raises KillError."""
        if termination.at_once:
            await self._pods.end(pod, termination)
            return
        hurry = asyncio.create_task(self._hurry(pod, termination), name=f"soft eviction of {pod.describe()}")
        try:
            await self._pods.end(pod, termination)
        finally:
            await end_tasks(hurry)

    async def _hurry(self, pod: AgentPod, termination: Termination) -> None:
        """While a victim has time for its end the node is still looked at; when it cannot wait any more, nor can the victim."""
        while not any(threshold.hard for threshold in self._watch.due()):
            await self._wakeups.wait(self._watch.next_look_seconds())
            try:
                await self._watch.look()
            except Exception:
                log.exception("the node's pressure could not be looked at, will try again")
        log.warning("pod %s is killed before its time is over: a hard threshold is met", pod.describe())
        self._pods.terminate(pod.uid, replace(termination, grace_seconds=MINIMUM_GRACE_SECONDS, at_once=True))


def reclaimable(signal: Signal, layout: Layout) -> tuple[bool, bool]:
    """(dead containers, unused images): what may be removed where a file system is short. Pure. Section 5.4."""
    of_node = signal in (Signal.NODEFS, Signal.NODEFS_INODES)
    of_images = signal in (Signal.IMAGEFS, Signal.IMAGEFS_INODES)
    if layout is Layout.DEDICATED_IMAGES:
        return (not of_node, not of_node)
    return (not of_images, of_images) if layout is Layout.SPLIT else (True, True)


def grace_seconds(pod: AgentPod, threshold: Threshold, maximum: int) -> int:
    """How long a victim has. Pure. Section 5.7."""
    if threshold.hard:
        return MINIMUM_GRACE_SECONDS
    own = pod.spec.terminationGracePeriodSeconds
    return max(MINIMUM_GRACE_SECONDS, maximum if own is None else min(maximum, own))
