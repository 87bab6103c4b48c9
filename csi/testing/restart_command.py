"""A command that restarts the driver (--csi-restart): `systemctl kill -s KILL csi-x`, `docker restart -t 0 csi-x`, a script."""

import asyncio
import os
import shlex
import subprocess
import tempfile

from csi import errors
from csi.client import Client
from runtimes.linux.retry import RetryPolicy

COMMAND_SECONDS = 60.0
READY_SECONDS = 60.0
_AGAIN = RetryPolicy(first_seconds=0.02, cap_seconds=0.5)
_MOST_TEXT = 1000
# in the environment of what outlives the run of the suite that has started it
OUTLIVES = "CSI_DRIVER_UNDER_TEST"


class RestartError(Exception):
    """The command failed, or the driver does not answer after it."""


class RestartCommand:
    """Awaited with nothing, it runs the command and returns when the driver is ready."""

    def __init__(
        self,
        command: str,
        endpoint: str,
        *,
        command_seconds: float = COMMAND_SECONDS,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        """`command`: words as of a shell, without one. Raises ValueError for none, and for an endpoint that is none."""
        self._argv = tuple(shlex.split(command))
        if not self._argv:
            raise ValueError("the command that restarts the driver is empty")
        self._client = Client.at(endpoint)
        self._command_seconds = command_seconds
        self._ready_seconds = ready_seconds

    async def __call__(self) -> None:
        """Raises RestartError."""
        await asyncio.to_thread(self._run)
        attempt = 0
        try:
            async with asyncio.timeout(self._ready_seconds):
                while not await self._ready():
                    await asyncio.sleep(_AGAIN.next_delay(attempt))
                    attempt += 1
        except TimeoutError:
            raise RestartError(f"the driver is not ready {self._ready_seconds:g} s after it was restarted") from None

    async def _ready(self) -> bool:
        try:
            return await self._client.identity.ready()
        except errors.CSIError:
            return False

    def _run(self) -> None:
        # what the command starts may keep its output open: it goes to a file, whose end nobody waits for
        with tempfile.TemporaryFile() as output:
            try:
                done = subprocess.run(
                    self._argv,
                    env={name: value for name, value in os.environ.items() if name != "TMPDIR"} | {OUTLIVES: "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    timeout=self._command_seconds,
                    start_new_session=True,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise RestartError(f"{self._argv[0]}: {error}") from None
            if done.returncode != 0:
                output.seek(0)
                text = errors.presentable(output.read(_MOST_TEXT).decode(errors="replace"))
                raise RestartError(f"{self._argv[0]} ended with {done.returncode}: {text}")
