"""Checkpoints of resource managers, in the kubelet's format: either agent reads the other's.

The checksum is FNV-1a over a kubelet's own text of the values (docs/facts/node-resources.md 11.1).
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux.files import replace_file

_State = TypeVar("_State", bound=msgspec.Struct)
_OFFSET, _PRIME, _MASK = 2166136261, 16777619, 0xFFFFFFFF


class BadState(Exception):
    """A manager's state cannot be gone on with. The text tells the operator why, and the way out."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f'could not restore state from checkpoint: {why}, please drain this node and delete the state file "{path}" '
            "before restarting the agent"
        )


def fnv1a(text: str) -> int:
    """32 bits."""
    found = _OFFSET
    for byte in text.encode():
        found = ((found ^ byte) * _PRIME) & _MASK
    return found


def read(path: Path) -> bytes | None:
    """None: there is no file. Raises BadState."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadState(path, f"{error}") from error


def decode(path: Path, data: bytes, kind: type[_State]) -> _State:
    """Raises BadState."""
    try:
        return msgspec.json.decode(data, type=kind)
    except UNREADABLE as error:
        raise BadState(path, f"checkpoint is corrupted: {error}") from error


def check_policy(path: Path, configured: str, recorded: str) -> None:
    """Raises BadState where the file is another policy's."""
    if configured != recorded:
        raise BadState(path, f'configured policy "{configured}" differs from state checkpoint policy "{recorded}"')


class Saver:
    """Writes a state when it has changed; changes of many share one write. Belongs to the event loop."""

    def __init__(self, path: Path, snapshot: Callable[[], msgspec.Struct]) -> None:
        self._path = path
        self._snapshot = snapshot
        self._changes = 0
        self._saved = 0
        self._writing = asyncio.Lock()

    def changed(self) -> None:
        self._changes += 1

    async def save(self) -> None:
        """Durably, in place of the former file. Raises OSError; the changes stay to be written."""
        wanted = self._changes
        async with self._writing:
            if self._saved < wanted:
                wanted = self._changes
                await asyncio.to_thread(replace_file, self._path, msgspec.json.encode(self._snapshot()))
                self._saved = wanted
