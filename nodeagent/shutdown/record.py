"""When the node last shut down gracefully, on disk as a kubelet has it. Source: docs/facts/node-resources.md 10."""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from runtimes.linux.files import replace_file

log = logging.getLogger(__name__)

FILE = "graceful_node_shutdown_state"
NEVER = datetime(1, 1, 1, tzinfo=UTC)  # Go's zero time
_MODE = 0o644


class LastShutdown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`end_time` NEVER: it is under way, or was cut short."""

    start_time: datetime = NEVER
    end_time: datetime = NEVER


class ShutdownRecord:
    """`last` is what is known; a disk that cannot be read or written is logged, and holds up no shutdown."""

    def __init__(self, root_dir: Path) -> None:
        self._path = root_dir / FILE
        self.last = self._read()

    async def began(self, at: datetime) -> None:
        await self._write(LastShutdown(start_time=at))

    async def ended(self, at: datetime) -> None:
        await self._write(LastShutdown(start_time=self.last.start_time, end_time=at))

    def _read(self) -> LastShutdown:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=LastShutdown)
        except FileNotFoundError:
            return LastShutdown()
        except (OSError, msgspec.DecodeError) as error:
            log.warning("when the node last shut down is not known: %s: %s", self._path, error)
            return LastShutdown()

    async def _write(self, last: LastShutdown) -> None:
        self.last = last
        try:
            await asyncio.to_thread(replace_file, self._path, msgspec.json.encode(last), mode=_MODE)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error.strerror)
