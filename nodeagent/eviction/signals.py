"""What the node has left, signal by signal. Source: docs/facts/node-resources.md 5.1.

An agent whose pods live in a bounded cgroup (cgroupRoot, or an ancestor of it, has a limit) has what that one has: of all that
bounds the pods, what is nearest to its end counts.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nodeagent.config.eviction import Signal
from nodeagent.eviction.thresholds import Layout, layout_of
from runtimes.linux.cgroups.contract import Cgroups

DISK_SECONDS = 1.0  # a file system that takes longer to answer says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Bytes, inodes or tasks."""

    available: int
    capacity: int


Observations = Mapping[Signal, Observation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What statvfs says to users; `inodes` 0: this file system does not count them."""

    size_bytes: int
    available_bytes: int
    inodes: int
    inodes_free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """One on each of a node's file systems: of its root folder, of images, of what containers write."""

    node: Path
    images: Path
    containers: Path

    def layout(self) -> Layout:
        """Blocks. Raises OSError."""
        return layout_of(*(folder.stat().st_dev for folder in (self.node, self.images, self.containers)))


class MemoryAndPids:
    """What cgroups and procfs say. `root`: cgroupRoot as a path; `pods`: the cgroup of all pods. Reading blocks, not for long."""

    def __init__(
        self,
        cgroups: Cgroups,
        *,
        root: str,
        pods: str,
        memory_bytes: int,
        max_pids: int,
        proc: Path = Path("/proc"),
    ) -> None:
        self._cgroups = cgroups
        self._bounds = tuple(bounds(root))
        self._pods = pods
        self._memory_bytes = memory_bytes
        self._max_pids = max_pids
        self._proc = proc

    def read(self) -> dict[Signal, Observation]:
        """What cannot be read is left out."""
        found = {
            Signal.MEMORY: scarcest((self._machines_memory(), *map(self._memory, self._bounds))),
            Signal.ALLOCATABLE_MEMORY: self._memory(self._pods),
            Signal.PIDS: scarcest((self._machines_pids(), *map(self._pids, self._bounds))),
        }
        return {signal: observation for signal, observation in found.items() if observation is not None}

    def _machines_memory(self) -> Observation | None:
        working_set = self._cgroups.statistics.memory("/", details=False).working_set_bytes
        return None if working_set is None else _left(self._memory_bytes, working_set)

    def _memory(self, path: str) -> Observation | None:
        memory = self._cgroups.statistics.memory(path, details=False)
        if memory.limit_bytes is None or memory.working_set_bytes is None:
            return None
        return _left(memory.limit_bytes, memory.working_set_bytes)

    def _machines_pids(self) -> Observation | None:
        try:
            tasks = (self._proc / "loadavg").read_text().split()[3].partition("/")[2]
        except OSError:
            return None
        return _left(self._max_pids, int(tasks)) if self._max_pids else None

    def _pids(self, path: str) -> Observation | None:
        pids = self._cgroups.statistics.pids(path)
        if pids.current is None or pids.limit in (None, -1):
            return None
        return _left(pids.limit or 0, pids.current)


def bounds(root: str) -> Iterator[str]:
    """The cgroups that bound what is in `root`, without the root of all."""
    path = PurePosixPath("/", root.strip("/"))
    return (str(each) for each in (path, *path.parents) if str(each) != "/")


def scarcest(found: tuple[Observation | None, ...]) -> Observation | None:
    return min((item for item in found if item is not None), key=lambda item: item.available, default=None)


class Disks:
    """What the file systems say. One that does not answer, a dead network mount, is asked again when it has."""

    def __init__(self, read: Callable[[Path], Disk | None] | None = None) -> None:
        self._read = read or read_disk
        self._asked: dict[Path, asyncio.Task[Disk | None]] = {}

    async def read(self, folders: Folders) -> dict[Signal, Observation]:
        """What is not known in time is left out."""
        wanted = (folders.node, folders.images, folders.containers)
        for folder in wanted:
            if folder not in self._asked:
                self._asked[folder] = asyncio.create_task(
                    asyncio.to_thread(self._read, folder), name=f"statvfs {folder}"
                )
        await asyncio.wait({self._asked[folder] for folder in wanted}, timeout=DISK_SECONDS)
        answers = {folder: self._asked.pop(folder).result() for folder in set(wanted) if self._asked[folder].done()}
        found: dict[Signal, Observation] = {}
        for folder, (in_bytes, in_inodes) in zip(wanted, _OF_DISKS, strict=True):
            disk = answers.get(folder)
            if disk is None:
                continue
            found[in_bytes] = Observation(available=disk.available_bytes, capacity=disk.size_bytes)
            if disk.inodes:
                found[in_inodes] = Observation(available=disk.inodes_free, capacity=disk.inodes)
        return found


_OF_DISKS = (
    (Signal.NODEFS, Signal.NODEFS_INODES),
    (Signal.IMAGEFS, Signal.IMAGEFS_INODES),
    (Signal.CONTAINERFS, Signal.CONTAINERFS_INODES),
)


def read_disk(folder: Path) -> Disk | None:
    """None where nothing is known. Blocks, for good where a network file system is dead."""
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


def _left(capacity: int, used: int) -> Observation:
    return Observation(available=max(0, capacity - used), capacity=capacity)
