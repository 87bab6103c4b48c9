"""Whether the node's file systems are short, by their own statistics and the thresholds of evictionHard.

Nothing is evicted here; but the condition says the truth, so that a scheduler sends no pod to a full disk.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from nodeagent.node.conditions import Pressure
from runtimes.kube import quantity


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


class DiskPressure:
    """Asked at each computation of the node's status. `folders`: which file system is where.

    Once short, the node says so for `transition_seconds` longer than it is: pods that come and go do not make it waver.
    """

    def __init__(
        self,
        folders: Sequence[tuple[str, Path]],
        thresholds: Mapping[str, str],
        *,
        transition_seconds: float,
        now: Callable[[], float],
        read: Callable[[Path], Disk | None] = read_disk,
    ) -> None:
        self._folders = tuple(folders)
        self._thresholds = thresholds
        self._transition_seconds = transition_seconds
        self._now = now
        self._read = read
        self._short_at: float | None = None

    def __call__(self) -> Pressure:
        now = self._now()
        disks = ((name, self._read(folder)) for name, folder in self._folders)
        if any(disk is not None and is_short(name, disk, self._thresholds) for name, disk in disks):
            self._short_at = now
        short = self._short_at is not None and now - self._short_at <= self._transition_seconds
        return Pressure(disk=short)
