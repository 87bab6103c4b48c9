"""conmon(8), one for each container: it makes the container, holds its standard streams, writes the log and the exit file.

It is started detached (own session, not our child), so the container does not depend on the agent. What it talks:
- `_OCI_SYNCPIPE`: one JSON line, {"pid": N}, or {"pid": -1, "message": "..."} when the runtime refused;
- `<bundle>/attach`: a SEQPACKET socket; packets out are a stream number (2 stdout, 3 stderr) and data, packets in are stdin;
- `<bundle>/ctl`: a FIFO of lines "1 <height> <width>" (resize) and "2 0 0" (reopen the log);
- `<exit dir>/<id>`: the exit code as text, put there by rename after the log is complete.
"""

import asyncio
import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from runtimes import errors
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux import process
from runtimes.oci.program import ENVIRONMENT, runtime_message

STDOUT_PIPE = 2
STDERR_PIPE = 3

_MAX_SYNC_BYTES = 65536


class _SyncLine(msgspec.Struct):
    pid: int
    message: str = ""


class ContainerRefused(Exception):
    """The OCI runtime could not make the container; the message is the runtime's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """One container's conmon to be started. `program` is what it calls for `create`, as a runtime."""

    conmon_path: str
    container_id: str
    name: str
    bundle: Path
    exits: Path
    persist: Path
    log_path: str  # empty: no log
    terminal: bool
    stdin: bool
    stdin_once: bool
    program: str
    global_args: tuple[str, ...]

    def argv(self) -> list[str]:
        arguments = [self.conmon_path, "--cid", self.container_id, "--cuuid", self.container_id, "--name", self.name]
        arguments += ["--bundle", str(self.bundle), "--runtime", self.program]
        arguments += ["--container-pidfile", str(self.bundle / "pidfile")]
        arguments += ["--conmon-pidfile", str(self.bundle / "conmon.pid")]
        arguments += ["--exit-dir", str(self.exits), "--persist-dir", str(self.persist)]
        # --full-attach: the socket lies in the bundle itself. --no-sync-log: no fsync of the log before the exit is reported.
        arguments += ["--full-attach", "--no-sync-log", "--log-path", f"k8s-file:{self.log_path or os.devnull}"]
        if self.terminal:
            arguments.append("--terminal")
        if self.stdin:
            arguments.append("--stdin")
            if not self.stdin_once:
                arguments.append("--leave-stdin-open")
        for argument in self.global_args:
            arguments += ["--runtime-arg", argument]
        return arguments


async def launch(monitor: Monitor, *, timeout_seconds: float) -> int:
    """Start conmon and have it create the container; returns the container's pid.

    Raises ContainerRefused, Timeout, Unavailable (conmon cannot run). The caller undoes what is left.
    """
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    answer = _SyncPipe(read_fd)
    try:
        async with asyncio.timeout(timeout_seconds):
            try:
                # ends when conmon has forked into the background
                done = await process.run(
                    monitor.argv(),
                    timeout_seconds=timeout_seconds,
                    env={**ENVIRONMENT, "_OCI_SYNCPIPE": str(write_fd)},
                    cwd=str(monitor.bundle),  # conmon leaves its notice of an OOM kill where it stands
                    pass_fds=(write_fd,),
                )
            finally:
                os.close(write_fd)
            line = await answer.line()
    except process.ProcessTimeout as error:
        raise errors.Timeout(str(error)) from error
    except process.ProcessError as error:
        raise errors.Unavailable(str(error)) from error
    except TimeoutError:
        raise errors.Timeout(f"{monitor.program} did not create the container within {timeout_seconds:g}s") from None
    finally:
        answer.close()
    return _container_pid(line, done)


def _container_pid(line: bytes, done: process.Completed) -> int:
    try:
        answer = msgspec.json.decode(line, type=_SyncLine)
    except UNREADABLE:
        said = runtime_message(done.error_text) if done.stderr or not done.ok else "the runtime ended without a word"
        raise ContainerRefused(said) from None
    if answer.pid <= 0:
        raise ContainerRefused(runtime_message(answer.message) or "the runtime ended without a word")
    return answer.pid


class _SyncPipe:
    """Reads one line from a pipe on the event loop."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._data = bytearray()
        self._loop = asyncio.get_running_loop()
        self._line: asyncio.Future[bytes] = self._loop.create_future()
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._readable)

    def _readable(self) -> None:
        try:
            chunk = os.read(self._fd, _MAX_SYNC_BYTES)
        except BlockingIOError:
            return
        self._data += chunk
        if not self._line.done() and (not chunk or b"\n" in self._data or len(self._data) > _MAX_SYNC_BYTES):
            self._loop.remove_reader(self._fd)
            self._line.set_result(bytes(self._data))

    async def line(self) -> bytes:
        """The line; without a newline when the other end closed first."""
        return await self._line

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)


def send_control(bundle: Path, kind: int, first: int = 0, second: int = 0) -> None:
    """Write one line to conmon's control FIFO. Raises WrongState when no conmon reads it."""
    try:
        fd = os.open(bundle / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            raise errors.WrongState("the container is not running") from None
        raise errors.Internal(f"cannot reach the container's monitor: {error}") from error
    with open(fd, "wb", buffering=0) as fifo:
        fifo.write(f"{kind} {first} {second}\n".encode())


def resize(bundle: Path, width: int, height: int) -> None:
    """Resize the container's terminal. conmon refuses sizes above 1000 in either direction."""
    with contextlib.suppress(errors.WrongState):
        send_control(bundle, 1, min(height, 1000), min(width, 1000))


def reopen_log(bundle: Path) -> None:
    send_control(bundle, 2)
