"""A child process whose streams somebody else handles, waited for by pidfd: an exec, as long as its session lasts.

Programs that only run to their end go through `runtimes.linux.process`.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtimes.linux.process import ProgramNotFound


class Child:
    """One running program. Somebody must call `wait`, or it stays a zombie."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        stderr: int = subprocess.DEVNULL,
        env: Mapping[str, str],
        cwd: Path | None = None,
    ) -> None:
        """Start it, in a session of its own. Raises ProgramNotFound."""
        try:
            self._popen = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise ProgramNotFound(argv, f"cannot run {argv[0]}: {error.strerror or error}") from error
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = os.pidfd_open(self._popen.pid)
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return not self._ended.done()

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._ended.set_result(self._popen.wait())

    async def wait(self) -> int:
        """The exit status, negative for a signal, as in `subprocess`. May be called many times."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        if self.running:
            self._popen.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL it and its process group, and reap it, whatever happens to the caller."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        await asyncio.shield(self._ended)
