"""The engine's memory on disk: record files, replaced by rename, synced to the disk a moment later.

A rename alone is safe against the death of the agent: the kernel holds the file. Only a power cut can lose it, and a power
cut ends every container too, so nothing is lost that still runs. What must not be lost is the trace of things that outlive
the cut (directories, writable layers, an IP address that a CNI plugin reserved on disk): each of these has its id as the name of
a directory made before it, and the file system journal keeps that order. So the path of a pod does not wait for the disk:
files are synced in the background, together, within `sync_delay_seconds`; an empty or torn record is treated as half made.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux.files import replace_file

log = logging.getLogger(__name__)

_R = TypeVar("_R", bound=msgspec.Struct)

FILE_NAME = "state.json"


class DiskSync:
    """Syncs written files and their directories in the background, many at once."""

    def __init__(self, *, delay_seconds: float = 1.0) -> None:
        self._delay_seconds = delay_seconds
        self._dirty: set[Path] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, path: Path) -> None:
        """Have `path` on the disk soon."""
        self._dirty.add(path)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="oci-disk-sync")

    async def flush(self) -> None:
        """Everything added so far is on the disk."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        dirty, self._dirty = self._dirty, set()
        await asyncio.to_thread(_sync, dirty)

    async def _run(self) -> None:
        while self._dirty:
            await asyncio.sleep(self._delay_seconds)  # gather what belongs to the same burst, not a poll
            dirty, self._dirty = self._dirty, set()
            await asyncio.to_thread(_sync, dirty)


def _sync(paths: set[Path]) -> None:
    for path in paths | {path.parent for path in paths}:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # removed again in the meantime
        try:
            os.fsync(fd)
        except OSError as error:
            log.warning("cannot sync %s: %s", path, error)
        finally:
            os.close(fd)


class RecordStore(Generic[_R]):
    """The records of one kind below `directory`: <id>/state.json.

    `check(record, id)` raises ValueError for one that cannot be used.
    """

    def __init__(
        self,
        directory: Path,
        kind: type[_R],
        disk: DiskSync,
        check: Callable[[_R, str], None] = lambda record, name: None,
    ) -> None:
        self._directory = directory
        self._kind = kind
        self._disk = disk
        self._check = check
        self._encoder = msgspec.json.Encoder()

    def save(self, object_id: str, record: _R) -> None:
        """Write the record; a few dozen microseconds, so it may run on the event loop. Its directory must exist."""
        path = self._directory / object_id / FILE_NAME
        try:
            replace_file(path, self._encoder.encode(record), durable=False)
        except FileNotFoundError:
            return  # removed at the same time: there is nothing left to remember
        self._disk.add(path)

    def load(self) -> tuple[dict[str, _R], list[str]]:
        """All readable records by id, and the ids of directories without one. Blocks."""
        records: dict[str, _R] = {}
        broken: list[str] = []
        for entry in sorted(self._directory.iterdir()):
            try:
                record = msgspec.json.decode((entry / FILE_NAME).read_bytes(), type=self._kind)
                self._check(record, entry.name)
            except (OSError, *UNREADABLE) as error:
                log.warning("%s has no usable record (%s): it is taken as half made and removed", entry, error)
                broken.append(entry.name)
            else:
                records[entry.name] = record
        return records, broken
