"""The node's own CSI driver: a process of its own, begun when it is needed and again whenever it ends."""

import asyncio
import contextlib
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodeagent.os_error_retry import UNREPORTED, LoopHealth
from runtimes.linux.retry import Backoff, RetryPolicy

STEADY_SECONDS: Final = 5.0  # who lives so long has started
STOP_SECONDS: Final = 12.0  # calls under way come to their end
_AGAIN: Final = RetryPolicy(first_seconds=1.0, cap_seconds=30.0)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSettings:
    """`socket`: where it serves CSI. `registration`: where the agent finds it. `capacity`: a quantity; "0": the disk's."""

    name: str
    node_name: str
    state_dir: Path
    socket: Path
    registration: Path
    capacity: str = "0"

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"


class DriverProcess:
    """`condition` is told when it is down, and up again."""

    def __init__(self, settings: DriverSettings, condition: LoopHealth = UNREPORTED) -> None:
        self._settings = settings
        self._condition = condition
        self._backoff = Backoff(_AGAIN, reset_after_seconds=_AGAIN.cap_seconds)
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Keep it running until cancelled; then it is to be stopped."""
        while True:
            process = self._process = await self._begun()
            log.info("storage driver %s serves %s", self._settings.name, self._settings.socket)
            recovery = asyncio.get_running_loop().call_later(STEADY_SECONDS, self._condition.works)
            try:
                status = await process.wait()
            finally:
                recovery.cancel()
            log.error("the storage driver ended with status %d; starting it again", status)
            self._condition.failed(f"ended with status {status}; is started again")
            await asyncio.sleep(self._backoff.next_delay())

    async def _begun(self) -> asyncio.subprocess.Process:
        settings = self._settings
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "csi.driver", f"--endpoint={settings.address}"),
            f"--registration=unix://{settings.registration}",
            f"--driver-name={settings.name}",
            f"--node-id={settings.node_name}",
            f"--state-dir={settings.state_dir}",
            f"--capacity={settings.capacity}",
            "--exit-with-parent",
            "--log-level=WARNING",
            stdin=asyncio.subprocess.DEVNULL,
            # Ctrl-C at the agent's terminal is the agent's
            start_new_session=True,
        )

    async def stop(self) -> None:
        """Ask it to end, and make it end."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
