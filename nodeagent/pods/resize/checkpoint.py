"""A checkpoint file: one entry a pod, written whole, by a temporary file, fsync and rename, and only when it changed.

    {"version": 1, "checksum": "<blake2b of pods>", "pods": {"<uid>": {...}}}

Entries change in memory at once; `flush` returns when every change made before the call is on the disk. Changes of many pods
share one write.
"""

import asyncio
import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux.files import replace_file

VERSION = 1
_Entry = TypeVar("_Entry")


class CorruptCheckpoint(Exception):
    """The file cannot be trusted. The text tells the operator what to do."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f'could not restore state from checkpoint: {why}, please drain this node and delete pod checkpoint file "{path}" '
            "before restarting the agent"
        )


class _File(msgspec.Struct):
    version: int
    checksum: str
    pods: msgspec.Raw


class Checkpoint(Generic[_Entry]):
    """Entries of type `entry` by pod UID. All methods belong to the event loop."""

    def __init__(self, path: Path, entry: type[_Entry]) -> None:
        self._path = path
        self._decoder = msgspec.json.Decoder(dict[str, entry])  # type: ignore[valid-type]  # a type known at run time
        self._entries: dict[str, _Entry] = {}
        # The same in JSON: a file of many pods is written often, and few of them have changed.
        self._texts: dict[str, msgspec.Raw] = {}
        self._changes = 0  # made in memory
        self._saved = 0  # of them on the disk
        self._writing = asyncio.Lock()

    def load(self) -> None:
        """Read the file; none there: empty. Raises CorruptCheckpoint."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise CorruptCheckpoint(self._path, str(error)) from error
        try:
            file = msgspec.json.decode(data, type=_File)
            if file.version != VERSION:
                raise CorruptCheckpoint(self._path, f"version {file.version} is not {VERSION}")
            if file.checksum != _checksum(bytes(file.pods)):
                raise CorruptCheckpoint(self._path, "checkpoint is corrupted")
            self._entries = self._decoder.decode(file.pods)
            self._texts = {uid: _text(entry) for uid, entry in self._entries.items()}
        except UNREADABLE as error:
            raise CorruptCheckpoint(self._path, f"checkpoint is corrupted: {error}") from error

    def get(self, uid: str) -> _Entry | None:
        return self._entries.get(uid)

    def uids(self) -> Collection[str]:
        return tuple(self._entries)

    def set(self, uid: str, entry: _Entry) -> None:
        if self._entries.get(uid) != entry:
            self._entries[uid] = entry
            self._texts[uid] = _text(entry)
            self._changes += 1

    def remove(self, uid: str) -> None:
        if self._entries.pop(uid, None) is not None:
            del self._texts[uid]
            self._changes += 1

    async def flush(self) -> None:
        """Raises OSError; the changes stay to be written."""
        wanted = self._changes
        async with self._writing:
            if self._saved >= wanted:
                return
            wanted = self._changes
            await asyncio.to_thread(replace_file, self._path, self._encoded())
            self._saved = wanted

    def flush_now(self) -> None:
        """The same while the agent goes, without waiting for a thread."""
        if self._saved < self._changes:
            replace_file(self._path, self._encoded())
            self._saved = self._changes

    def _encoded(self) -> bytes:
        pods = msgspec.json.encode(self._texts, order="deterministic")
        return msgspec.json.encode(_File(version=VERSION, checksum=_checksum(pods), pods=msgspec.Raw(pods)))


def _text(entry: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(entry, order="deterministic"))


def _checksum(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
