"""How much the agent writes, for one pod, into the volumes that it fills itself: configMap, secret, downwardAPI, projected.

An API object has a mebibyte, but a pod may name it under ten thousand paths, or name a thousand of them; what comes of it lies in
memory (tmpfs) that is charged to no pod, and goes through the agent's own. So all such volumes of a pod have a budget together,
and it is asked before anything is made. All pods together have so many threads for it.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.types.atomic_writer import FileEntry

# 64 objects that are as large as they can be; a refresh needs as much again for a moment, and the agent's memory once
MAX_BYTES = 64 * 1024 * 1024
# files and folders: each costs the kernel about a kilobyte of memory, or the disk an inode
MAX_ENTRIES = 50_000

# Ten threads that make ten small volumes wait for each other: 11 ms and 30 of CPU, where two take 4 and 9 (hack/bench/volumes.py)
MAX_WRITERS = 2


class OverBudget(VolumeError):
    """Nothing was made of what is beyond the budget."""


@dataclass(slots=True)
class _Taken:
    size_bytes: int = 0
    entries: int = 0


@dataclass(frozen=True, slots=True)
class Measure:
    """What one volume takes while it is being filled."""

    _own: _Taken
    _pod: _Taken  # all its volumes together, this one included

    def take(self, files: Iterable[tuple[str, FileEntry]]) -> None:
        """Paths with their content. Raises OverBudget for the first beyond the budget."""
        for path, entry in files:
            self._take(len(entry.data), path.count("/") + 1)

    def take_folders(self, paths: Iterable[str]) -> None:
        """Raises OverBudget."""
        for path in paths:
            self._take(0, path.count("/") + 1)

    def _take(self, size_bytes: int, entries: int) -> None:
        for taken in (self._own, self._pod):
            taken.size_bytes += size_bytes
            taken.entries += entries
        if self._pod.size_bytes > MAX_BYTES:
            raise OverBudget(_too_much(f"{MAX_BYTES} bytes"))
        if self._pod.entries > MAX_ENTRIES:
            raise OverBudget(_too_much(f"{MAX_ENTRIES} files and folders"))


def _too_much(limit: str) -> str:
    return (
        f"the configMap, secret, downwardAPI and projected volumes of a pod may have {limit} in all, "
        "and with this one they would have more: name fewer objects or keys"
    )


@dataclass(slots=True)
class _Pod:
    total: _Taken = field(default_factory=_Taken)
    volumes: dict[str, _Taken] = field(default_factory=dict)

    def put(self, name: str, taken: _Taken | None) -> _Taken | None:
        """In place of what the volume had; None: nothing any more. Returns what it had."""
        before = self.volumes.pop(name, None)
        for part, sign in ((before, -1), (taken, 1)):
            if part is not None:
                self.total.size_bytes += sign * part.size_bytes
                self.total.entries += sign * part.entries
        if taken is not None:
            self.volumes[name] = taken
        return before


@dataclass(slots=True)
class PayloadBudget:
    """One for all pods; belongs to the event loop. After a restart it fills again, as every volume is set up again.

    `writers`: held while a thread makes a volume, or takes it down.
    """

    _pods: dict[str, _Pod] = field(default_factory=dict)
    writers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_WRITERS), compare=False)

    @contextlib.contextmanager
    def volume(self, uid: str, name: str) -> Iterator[Measure]:
        """Count a volume again; should it fail, what it had before stays counted, as it stays in place."""
        pod, own = self._pods.setdefault(uid, _Pod()), _Taken()
        before = pod.put(name, own)
        try:
            yield Measure(own, pod.total)
        except BaseException:
            if pod.volumes.get(name) is own:
                pod.put(name, before)
            self._drop_empty(uid)
            raise

    def forget(self, uid: str, name: str) -> None:
        """The volume is gone. Repeatable."""
        if uid in self._pods:
            self._pods[uid].put(name, None)
            self._drop_empty(uid)

    def _drop_empty(self, uid: str) -> None:
        if uid in self._pods and not self._pods[uid].volumes:
            del self._pods[uid]
