"""Whether the node's file systems are short, by their own statistics and the thresholds of evictionHard.

Nothing is evicted here; but the node's state says the truth: no scheduler sends a pod to a full disk, and none is admitted there.
Source: docs/facts/node-resources.md 5.3, 5.9.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from nodeagent.node.state import NodeState
from runtimes.kube import quantity

PERIOD_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What statvfs says to users; `inodes` 0: this file system does not count them."""

    size_bytes: int
    available_bytes: int
    inodes: int
    inodes_free: int


def read_disk(folder: Path) -> Disk | None:
    """None where nothing is known."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return Disk(
        size_bytes=found.f_blocks * found.f_frsize,
        available_bytes=found.f_bavail * found.f_frsize,
        inodes=found.f_files,
        inodes_free=found.f_favail,
    )


def is_short(name: str, disk: Disk, thresholds: Mapping[str, str]) -> bool:
    """Whether a file system ("nodefs", "imagefs") is below a threshold of its own. Pure."""
    return _below(disk.available_bytes, disk.size_bytes, thresholds.get(f"{name}.available", "")) or (
        disk.inodes > 0 and _below(disk.inodes_free, disk.inodes, thresholds.get(f"{name}.inodesFree", ""))
    )


def _below(free: int, total: int, threshold: str) -> bool:
    if not threshold:
        return False
    if threshold.endswith("%"):
        share = Fraction(threshold.removesuffix("%")) / 100
        return share not in (0, 1) and free < total * share  # 0% and 100% switch it off
    return free < quantity.parse(threshold)


class DiskWatch:
    """Tells the node's state whether its disks are short. `folders`: which file system is where.

    Once short, the node says so for `transition_seconds` longer than it is: pods that come and go do not make it waver.
    """

    def __init__(
        self,
        state: NodeState,
        folders: Sequence[tuple[str, Path]],
        thresholds: Mapping[str, str],
        *,
        transition_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        read: Callable[[Path], Disk | None] = read_disk,
    ) -> None:
        self._state = state
        self._folders = tuple(folders)
        self._thresholds = thresholds
        self._transition_seconds = transition_seconds
        self._clock = clock
        self._read = read
        self._short_at: float | None = None

    async def run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Tell how it is now. A disk of which nothing can be told says nothing."""
        short = await asyncio.to_thread(self._is_short)
        now = self._clock()
        if short:
            self._short_at = now
        held = self._short_at is not None and now - self._short_at <= self._transition_seconds
        self._state.set_pressure(disk=held)

    def _is_short(self) -> bool:
        disks = [(name, self._read(folder)) for name, folder in self._folders]
        return any(disk is not None and is_short(name, disk, self._thresholds) for name, disk in disks)
