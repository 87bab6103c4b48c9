"""Holds up the machine's shutdown until its pods have ended. Source: docs/facts/node-resources.md 10.

lock held ──PrepareForShutdown(true)──> pods end, group by group ──> lock given back: the machine goes on
    ▲                                                                     │
    └───────────────────────PrepareForShutdown(false)─────────────────────┘
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from nodeagent.api.events import NORMAL, NodeEvents
from nodeagent.node.state import NodeState
from nodeagent.os_error_retry import LoopHealth
from nodeagent.pods.rules.model import Termination
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.shutdown.groups import Group, divided, grace_seconds
from nodeagent.shutdown.logind import DROP_INS, Logind
from nodeagent.shutdown.record import ShutdownRecord
from runtimes.kube.duration import go_duration
from runtimes.linux.dbus import Bus, BusError, keep_connected

log = logging.getLogger(__name__)

REASON = "Terminated"
MESSAGE = "Pod was terminated in response to imminent node shutdown."
_EVENT = "Shutdown"
_DELAY_TRIES = 5
_DELAY_PAUSE_SECONDS = 1.0


class DelayTooShort(BusError):
    """logind does not wait as long as pods are to have."""


class Pods(Protocol):
    """Implemented by `pods.manager.PodManager`."""

    def active_pods(self) -> list[AgentPod]: ...

    def terminate(self, uid: PodUID, termination: Termination) -> bool: ...

    async def released(self, uid: PodUID) -> None: ...

    async def reported(self, uid: PodUID) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """`bus`: its address, None: the system's. `drop_ins`: where logind is configured. `sleep`: between two tries.
    `known_seconds`: so long the pods may take to be known; an API that does not answer holds up no machine.
    """

    bus: str | None = None
    drop_ins: Path = DROP_INS
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    known_seconds: float = 10.0


class ShutdownManager:
    """`groups`: at least one, the lowest priority first. `health`: told while a shutdown would not wait for pods.

    `pods_known` returns when every source of pods has told of its own. A new agent does not know yet what runs.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        pods: Pods,
        state: NodeState,
        node_events: NodeEvents,
        record: ShutdownRecord,
        health: LoopHealth,
        *,
        pods_known: Callable[[], Awaitable[None]],
        now: Callable[[], datetime],
        surroundings: Surroundings,
    ) -> None:
        self._groups = groups
        self._pods = pods
        self._state = state
        self._node_events = node_events
        self._record = record
        self._health = health
        self._pods_known = pods_known
        self._now = now
        self._surroundings = surroundings
        self._lock: int | None = None

    async def run(self) -> None:
        """Until cancelled: on the bus, and on a new connection whenever the last one broke. What has no bus, has no lock."""
        self._health.failed("logind has not given a lock: the machine's shutdown does not wait for pods")
        try:
            await keep_connected(
                self._guard, "graceful node shutdown", address=self._surroundings.bus, sleep=self._surroundings.sleep
            )
        finally:
            self._let_go()

    async def _guard(self, bus: Bus) -> None:
        logind = Logind(bus)
        try:
            async with logind.shutdowns() as signals:
                await self._take_up(logind)
                async for (begins,) in signals:
                    await (self._begin() if begins else self._cancelled(logind))
        except BusError as error:
            self._health.failed(str(error))
            raise

    async def _take_up(self, logind: Logind) -> None:
        """What a signal may have said before there was a connection; else a lock."""
        if await logind.preparing():
            if not self._state.shutting_down:
                await self._begin()
        elif self._state.shutting_down:
            await self._cancelled(logind)
        else:
            await self._ensure_delay(logind)
            await self._hold(logind)

    async def _ensure_delay(self, logind: Logind) -> None:
        """Raises DelayTooShort when logind is not to be persuaded."""
        wanted = sum(group.seconds for group in self._groups)
        found = await logind.delay_seconds()
        if found >= wanted:
            return
        log.info("logind delays a shutdown by %s, pods are to have %ds", go_duration(found), wanted)
        try:
            await logind.ask_for_delay(wanted, self._surroundings.drop_ins)
        except OSError as error:
            raise DelayTooShort(f"logind cannot be configured: {error}") from error
        for _ in range(_DELAY_TRIES):
            found = await logind.delay_seconds()
            if found >= wanted:
                return
            await self._surroundings.sleep(_DELAY_PAUSE_SECONDS)
        raise DelayTooShort(f"logind delays a shutdown by {go_duration(found)} at most, pods are to have {wanted}s")

    async def _hold(self, logind: Logind) -> None:
        """Take a lock, then give back an older one: there is always one."""
        lock = await logind.inhibit()
        self._let_go()
        self._lock = lock
        self._health.works()
        log.info("the machine's shutdown waits for pods")

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _begin(self) -> None:
        """Tell the API, end the pods, then let the machine go on; whatever goes wrong, it is not held up for longer."""
        try:
            self._node_events.node_event(NORMAL, _EVENT, "Shutdown manager detected shutdown event")
            await self._know_pods()
            self._state.set_shutting_down(True)
            await self._record.began(self._now())
            await self._end_pods()
            await self._record.ended(self._now())
        finally:
            self._let_go()

    async def _know_pods(self) -> None:
        """Pods that run are taken over first: once the node shuts down they would be rejected, and killed without notice."""
        try:
            async with asyncio.timeout(self._surroundings.known_seconds):
                await self._pods_known()
        except TimeoutError:
            log.warning("the node shuts down, and not all of its pods are known")

    async def _cancelled(self, logind: Logind) -> None:
        """Pods that have ended stay so; new ones are welcome again."""
        self._node_events.node_event(NORMAL, _EVENT, "Shutdown manager detected shutdown cancellation")
        self._state.set_shutting_down(False)
        await self._hold(logind)

    async def _end_pods(self) -> None:
        for group, pods in divided(self._pods.active_pods(), self._groups):
            log.info("the node shuts down: %d pods of priority %d and above end", len(pods), group.priority)
            for pod in pods:
                self._pods.terminate(pod.uid, _termination(pod, group))
            late = {pod.uid: pod for pod in pods}
            try:
                async with asyncio.timeout(group.seconds):
                    await asyncio.gather(*(self._ended(pod.uid, late) for pod in pods))
            except TimeoutError:
                names = ", ".join(pod.describe() for pod in late.values())
                log.warning("the node shuts down: not ended within %ds: %s", group.seconds, names)

    async def _ended(self, uid: PodUID, late: dict[PodUID, AgentPod]) -> None:
        await self._pods.released(uid)
        await self._pods.reported(uid)
        late.pop(uid)


def _termination(pod: AgentPod, group: Group) -> Termination:
    return Termination(
        grace_seconds=grace_seconds(pod, group),
        reason=REASON,
        message=MESSAGE,
        failed=True,
        disruption_message=MESSAGE,
    )
