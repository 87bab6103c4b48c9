"""Run one program to its end: no shell, a deadline, bounded output, nothing left running.

Every short-lived program that this project starts (CNI plugins, skopeo, runc) goes through `run`. A program that
outlives its deadline, or whose caller is cancelled, is killed together with its process group and reaped.

The program is started by `subprocess` under every event loop, because that uses vfork(2): measured with 200 MB resident,
0.7 ms from start to reaped, against 11 ms for uvloop's own subprocesses, which fork and so copy the page tables while the
loop stands still.
"""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

DEFAULT_MAX_OUTPUT_BYTES = 4 * 1024 * 1024
_READ_BYTES = 65536
# A killed program is gone in milliseconds, unless it hangs in the kernel: then `subprocess` reaps it at a later start.
_REAP_TIMEOUT_SECONDS = 5.0
# Killed children are their adopter's to reap: one that never does must not hold the caller up for long.
_GROUP_TIMEOUT_SECONDS = 0.5
_GROUP_POLL_SECONDS = 0.005
_NOT_A_PROGRAM = frozenset(
    {errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.EISDIR, errno.ENOEXEC, errno.ELOOP, errno.ENAMETOOLONG}
)


class ProcessError(Exception):
    """A program could not be run to its end. `argv` is what was run."""

    def __init__(self, argv: Sequence[str], message: str) -> None:
        super().__init__(message)
        self.argv = tuple(argv)


class ProgramNotFound(ProcessError):
    """The program does not exist or is not executable."""


class ProcessTimeout(ProcessError):
    """The deadline passed; the program was killed. `stderr` is what it had said by then."""

    def __init__(self, argv: Sequence[str], timeout_seconds: float, stderr: bytes = b"") -> None:
        super().__init__(argv, f"{argv[0]} did not finish within {timeout_seconds:g}s and was killed")
        self.timeout_seconds = timeout_seconds
        self.stderr = stderr


class OutputTooLarge(ProcessError):
    """The program wrote more than the limit to one of its streams and was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a program ended. `returncode` is negative for a signal, as in `subprocess`."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def ok(self) -> bool:
        return self.returncode == 0

    @property
    def error_text(self) -> str:
        """What to show an operator: stderr, else stdout, else the exit status; at most 4 KiB, the end of it."""
        text = (self.stderr or self.stdout).decode(errors="replace").strip()
        if text:
            return text[-4096:]
        if self.returncode < 0:
            return f"killed by signal {signal.Signals(-self.returncode).name}"
        return f"exit status {self.returncode}"


class Run(Protocol):
    """`run`, or another for tests, for who needs no more of it."""

    def __call__(self, argv: Sequence[str], *, timeout_seconds: float) -> Awaitable[Completed]: ...


async def run(
    argv: Sequence[str],
    *,
    timeout_seconds: float,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    max_output_bytes: int = DEFAULT_MAX_OUTPUT_BYTES,
    pass_fds: Sequence[int] = (),
) -> Completed:
    """Run `argv` in its own process group and wait until it has ended and both of its output streams are closed.

    `env` replaces the whole environment when given. A non-zero exit status is not an error here: look at `Completed.ok`.
    Raises ProgramNotFound, ProcessTimeout, OutputTooLarge, and OSError for other failures to start (ETXTBSY, EMFILE).
    """
    argv = tuple(argv)
    watch = _start(argv, stdin, env, cwd, max_output_bytes, pass_fds)
    try:
        async with asyncio.timeout(timeout_seconds):
            await watch.done.wait()
        if watch.too_large:
            raise OutputTooLarge(argv, f"{argv[0]} wrote more than {max_output_bytes} bytes and was killed")
    except TimeoutError:
        await watch.kill()
        raise ProcessTimeout(argv, timeout_seconds, bytes(watch.stderr)) from None
    except BaseException:
        await watch.kill()
        raise
    finally:
        watch.close()
    return Completed(argv=argv, returncode=watch.returncode, stdout=bytes(watch.stdout), stderr=bytes(watch.stderr))


def _start(
    argv: tuple[str, ...],
    stdin: bytes,
    env: Mapping[str, str] | None,
    cwd: str | None,
    max_output_bytes: int,
    pass_fds: Sequence[int],
) -> "_Watch":
    try:
        child = subprocess.Popen(
            argv,
            bufsize=0,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if env is None else dict(env),
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )
    except OSError as error:
        if error.errno not in _NOT_A_PROGRAM:
            raise
        raise ProgramNotFound(argv, f"cannot run {argv[0]}: {error.strerror or error}") from error
    try:
        return _Watch(child, stdin, max_output_bytes)
    except OSError:
        child.kill()
        raise


class _Watch:
    """The parent's side of one program: feeds stdin, collects both outputs, sees the exit. `close` is due in the end.

    `done` is set when the program has exited and closed both outputs, or when it has written too much.
    """

    def __init__(self, child: "subprocess.Popen[bytes]", stdin: bytes, limit_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._child = child
        self._limit_bytes = limit_bytes
        self._pidfd = os.pidfd_open(child.pid)
        self.done = asyncio.Event()
        self.exited = asyncio.Event()
        self.stdout, self.stderr = bytearray(), bytearray()
        self.too_large = False
        assert child.stdout is not None
        assert child.stderr is not None
        self._outputs = {child.stdout.fileno(): self.stdout, child.stderr.fileno(): self.stderr}
        for fd in self._outputs:
            os.set_blocking(fd, False)
            self._loop.add_reader(fd, self._read, fd)
        self._loop.add_reader(self._pidfd, self._exit)
        self._input = memoryview(stdin)
        if child.stdin is not None:
            os.set_blocking(child.stdin.fileno(), False)
            self._write()
            if self._input:
                self._loop.add_writer(child.stdin.fileno(), self._write)

    @property
    def returncode(self) -> int:
        """Valid once `exited` is set."""
        code = self._child.returncode
        assert code is not None
        return code

    def _write(self) -> None:
        assert self._child.stdin is not None
        fd = self._child.stdin.fileno()
        try:
            self._input = self._input[os.write(fd, self._input) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._input = self._input[:0]  # a program need not read all of its input; its exit status tells
        if not self._input:
            self._loop.remove_writer(fd)  # fine if there is none
            self._child.stdin.close()

    def _read(self, fd: int) -> None:
        try:
            chunk = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            self._loop.remove_reader(fd)
            del self._outputs[fd]
            self._settle()
        elif len(self._outputs[fd]) + len(chunk) <= self._limit_bytes:
            self._outputs[fd] += chunk
        else:
            self.too_large = True
            self.done.set()

    def _exit(self) -> None:
        if self._child.poll() is not None:
            self._loop.remove_reader(self._pidfd)
            self.exited.set()
            self._settle()

    def _settle(self) -> None:
        if self.exited.is_set() and not self._outputs:
            self.done.set()

    async def kill(self) -> None:
        """Kill the whole process group and wait until the program is reaped, and its children have let go of what they held."""
        pid = self._child.pid
        # A reaped leader may have left children that hold its streams. While they live the kernel gives its pid to
        # nobody else; if somebody has it, the group is gone and must not be signalled.
        if self._child.returncode is None or not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REAP_TIMEOUT_SECONDS):
                await self.exited.wait()
        with contextlib.suppress(TimeoutError, ProcessLookupError, PermissionError):
            async with asyncio.timeout(_GROUP_TIMEOUT_SECONDS):
                while True:
                    os.killpg(pid, 0)
                    await asyncio.sleep(_GROUP_POLL_SECONDS)

    def close(self) -> None:
        """Close everything that is still open. Repeatable, blocks for nothing."""
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        for fd in self._outputs:
            self._loop.remove_reader(fd)
        child = self._child
        if child.stdin is not None and not child.stdin.closed:
            self._loop.remove_writer(child.stdin.fileno())
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                stream.close()
