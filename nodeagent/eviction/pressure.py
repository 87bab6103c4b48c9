"""Looks at the signals, knows which thresholds are met, and tells the node's state what it is short of.

Source: docs/facts/node-resources.md 5.3, 5.9.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from nodeagent.config.eviction import Signal
from nodeagent.eviction import rules
from nodeagent.eviction.rules import Tracked
from nodeagent.eviction.signals import Folders, Observation, Observations
from nodeagent.eviction.thresholds import Layout, Threshold, for_layout
from nodeagent.node.state import NodeState

log = logging.getLogger(__name__)


class DiskSignals(Protocol):
    async def read(self, folders: Folders) -> dict[Signal, Observation]: ...


class PressureWatch:
    """`memory_and_pids` blocks for microseconds. `folders`: where the file systems are, None: that is not known yet.

    `first_guess` counts until it is. Once short, the node says so for `transition_seconds` longer than it is: pods that come and
    go do not make it waver.
    """

    def __init__(
        self,
        state: NodeState,
        thresholds: tuple[Threshold, ...],
        *,
        memory_and_pids: Callable[[], Observations],
        disks: DiskSignals,
        folders: Callable[[], Awaitable[Folders | None]],
        first_guess: Folders,
        transition_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._configured = thresholds
        self._memory_and_pids = memory_and_pids
        self._disks = disks
        self._find_folders = folders
        self._folders = first_guess
        self._transition_seconds = transition_seconds
        self._clock = clock
        self._tracked = Tracked()
        self._layout_known = False
        self.layout = Layout.SINGLE
        self.thresholds = for_layout(thresholds, self.layout)
        self.seen: Observations = {}

    async def look(self, *, first: bool = False) -> None:
        """See how it is now, and tell. `first`: at the agent's start, where nobody is asked for anything that takes time."""
        if not self._layout_known:
            await self._find_layout(None if first else await self._find_folders())
        memory_and_pids = await asyncio.to_thread(self._memory_and_pids)
        self.seen = {**memory_and_pids, **await self._disks.read(self._folders)}
        now = self._clock()
        before, self._tracked = self._tracked, rules.track(self._tracked, self.thresholds, self.seen, now)
        for threshold in self._tracked.met_since.keys() - before.met_since.keys():
            log.info("%s threshold of %s is met", "hard" if threshold.hard else "soft", threshold.signal)
        held = rules.pressure(self._tracked, now, self._transition_seconds)
        self._state.set_pressure(memory=held.memory, disk=held.disk, pid=held.pid)

    def due(self) -> tuple[Threshold, ...]:
        """The thresholds to act on, by the last look, the most urgent first."""
        return rules.due(self._tracked, self._clock())

    def next_look_seconds(self) -> float:
        """How long nothing can happen, by the last look."""
        return rules.next_look_seconds(self._tracked, self.thresholds, self.seen, self._clock())

    def distance_bytes(self, signal: Signal) -> int | None:
        """How much more may be used of something until its first threshold is met; None: it has none, or is not known."""
        seen = self.seen.get(signal)
        amounts = [threshold.amount for threshold in self.thresholds if threshold.signal is signal]
        if seen is None or not amounts:
            return None
        return int(min(seen.available - amount.of(seen.capacity) for amount in amounts))

    async def _find_layout(self, found: Folders | None) -> None:
        try:
            self.layout = await asyncio.to_thread((found or self._folders).layout)
        except OSError as error:
            log.debug("file systems: %s", error)
            return
        self.thresholds = for_layout(self._configured, self.layout)
        if found is not None:
            self._folders, self._layout_known = found, True
            log.info("file systems for eviction: %s", self.layout.value)
