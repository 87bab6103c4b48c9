"""A process started in a running container: `runtime exec` in the foreground, its streams ours.

Without a terminal it gets pipes. With one it gets a pseudo terminal of ours as its own, and passes on what comes and the size.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from typing_extensions import override

from runtimes import errors
from runtimes.contract import StreamSession
from runtimes.linux.files import write_private
from runtimes.linux.process import ProgramNotFound
from runtimes.oci.child import Child
from runtimes.oci.core import Core
from runtimes.oci.entities import Container
from runtimes.oci.fds import AsyncFd
from runtimes.oci.merging import merged
from runtimes.oci.program import ENVIRONMENT, runtime_message
from runtimes.oci.terminals import ConsoleSocket, open_pair, set_size
from runtimes.oci.traits.contract import ExecTerminal

log = logging.getLogger(__name__)

_RUNTIME_SECONDS = 5.0  # for the runtime's process to see what has happened
_LOOK_SECONDS = 0.02

_numbers = itertools.count()


class ExecSession(StreamSession):
    """One exec. `stdin`, `stdout`, `stderr` are our ends; with a terminal all three are its master side."""

    def __init__(
        self,
        core: Core,
        container: Container,
        process: Child,
        files: "_ExecFiles",
        streams: "_Streams",
    ) -> None:
        self._core = core
        self._container = container
        self._process = process
        self._files = files
        self._streams = streams
        self._closing = False
        self._outcome: str | None = None  # why the command was never started, once known
        container.sessions.add(self)

    @override
    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        return merged({number: fd.read for number, fd in self._streams.outputs.items()})

    @override
    async def write_stdin(self, data: bytes) -> None:
        if self._streams.stdin is not None:
            await self._streams.stdin.write(data)

    @override
    async def close_stdin(self) -> None:
        # a terminal has no half-close: whoever types sends its end-of-file character
        if self._streams.stdin is not None and not self._streams.terminal:
            self._streams.stdin.close()

    @override
    async def resize(self, width: int, height: int) -> None:
        if self._streams.terminal and self._streams.stdin is not None and not self._streams.stdin.closed:
            set_size(self._streams.stdin.fileno(), width, height)
            self._process.send_signal(signal.SIGWINCH)

    @override
    async def wait(self) -> int:
        """Raises Internal when the runtime could not start the command."""
        code = await self._process.wait()
        self._container.sessions.discard(self)
        if self._outcome is None:
            started = self._files.started() or self._closing
            self._outcome = "" if started else self._files.error() or f"exit status {code}"
            self._files.remove()
        if self._outcome:
            raise errors.Internal(f"OCI runtime exec failed: {self._outcome}")
        return 128 - code if code < 0 else code

    @override
    async def close(self) -> None:
        self._closing = True
        self._container.sessions.discard(self)
        if self._process.running:
            await self._kill()
        self._streams.close()
        self._files.remove()

    async def _kill(self) -> None:
        """Returns when the command is dead and reaped, and with it all that it started: whoever looks next finds nothing of it.

        Bounded: a process that is stuck in the kernel cannot be waited for, nor can one whose parent does not reap it.
        """
        stuck = await self._core.traits.kill_exec(self._container.record, self._process.pid, self._inner_pid)
        if stuck:
            log.warning("exec in container %s: %s cannot be killed: given up", self._container.id, stuck)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RUNTIME_SECONDS):
                await self._process.wait()  # the runtime has reaped the command then
        await self._process.kill()

    async def _inner_pid(self) -> int | None:
        """The command's pid inside the sandbox, once there is one: until then it could not be killed, and would start yet."""
        for _ in range(int(_RUNTIME_SECONDS / _LOOK_SECONDS)):
            if self._files.pid() is not None or not self._process.running:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        return self._files.pid()


async def open_exec(
    core: Core, container: Container, command: list[str], *, terminal: bool, stdin: bool, stdout: bool, stderr: bool
) -> ExecSession:
    """Start `command` with the container's user, environment and limits.

    Raises WrongState, InvalidArgument, Unavailable, Timeout, and Internal when the failure is known at once.
    """
    if not container.can_exec:
        raise errors.WrongState(f"container {container.id} is not running")
    if not command:
        raise errors.InvalidArgument("exec without a command")
    files = _ExecFiles(core.paths.bundle(container.id), next(_numbers))
    try:
        files.write_process(command, terminal=terminal)
        if terminal and core.traits.exec_terminal is ExecTerminal.CONSOLE_SOCKET:
            process, streams = await _start_with_console_socket(core, container, files)
        else:
            streams, ends = (
                _own_terminal(raw=core.traits.exec_terminal is ExecTerminal.RAW)
                if terminal
                else _pipes(stdin=stdin, stdout=stdout, stderr=stderr)
            )
            process = _start(core, container, files, streams, ends)
    except BaseException:
        files.remove()
        raise
    return ExecSession(core, container, process, files, streams)


def _start(
    core: Core, container: Container, files: "_ExecFiles", streams: "_Streams", ends: tuple[int, int, int]
) -> Child:
    try:
        return Child(_argv(core, container, files), stdin=ends[0], stdout=ends[1], stderr=ends[2], env=ENVIRONMENT)
    except ProgramNotFound as error:
        streams.close()
        raise errors.Unavailable(str(error)) from error
    finally:
        for fd in set(ends):
            os.close(fd)


async def _start_with_console_socket(core: Core, container: Container, files: "_ExecFiles") -> tuple[Child, "_Streams"]:
    bundle = core.paths.bundle(container.id)
    console = ConsoleSocket(files.console_socket)
    try:
        argv = _argv(core, container, files, "--console-socket", files.console_socket.name)
        process = Child(argv, env=ENVIRONMENT, cwd=bundle)  # its path, too, is short only from there
        try:
            end = await console.receive(process, timeout_seconds=core.config.call_timeout_seconds)
        except BaseException:
            await process.kill()
            raise
        if end is None:
            raise errors.Internal(f"OCI runtime exec failed: {files.error() or 'no terminal'}")
    except ProgramNotFound as error:
        raise errors.Unavailable(str(error)) from error
    finally:
        console.close()
    return process, _Streams(end, {1: end}, terminal=True)


def _argv(core: Core, container: Container, files: "_ExecFiles", *options: str) -> list[str]:
    return [
        core.program.path,
        *core.program.global_args,
        f"--log={files.log_file}",
        "exec",
        *options,
        core.traits.exec_pid_flag,
        str(files.pid_file),
        "--process",
        str(files.process_file),
        container.id,
    ]


class _ExecFiles:
    """What one exec leaves in the bundle while it runs."""

    def __init__(self, bundle: Path, number: int) -> None:
        self._bundle = bundle
        self.process_file = bundle / f"exec-{number}.json"
        self.pid_file = bundle / f"exec-{number}.pid"
        self.log_file = bundle / f"exec-{number}.log"
        self.console_socket = bundle / f"exec-{number}.sock"

    def write_process(self, command: list[str], *, terminal: bool) -> None:
        """The container's own process with another command (OCI runtime-spec, process). Blocks for two small files."""
        try:
            spec = msgspec.json.decode((self._bundle / "config.json").read_bytes(), type=dict[str, Any])
        except OSError as error:
            raise errors.WrongState(f"the container's bundle is gone: {error.strerror}") from error
        process = spec["process"] | {"args": command, "terminal": terminal}
        if terminal and not any(entry.startswith("TERM=") for entry in process["env"]):
            process["env"] = [*process["env"], "TERM=xterm"]
        write_private(self.process_file, msgspec.json.encode(process))

    def pid(self) -> int | None:
        try:
            return int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None

    def started(self) -> bool:
        """The runtime writes the pid once the command runs."""
        return self.pid_file.exists()

    def error(self) -> str:
        try:
            return runtime_message(self.log_file.read_text(errors="replace")[-4096:])
        except OSError:
            return ""

    def remove(self) -> None:
        for path in (self.process_file, self.pid_file, self.log_file):
            path.unlink(missing_ok=True)


class _Streams:
    """Our ends: where stdin is written, and what is read, by stream number."""

    def __init__(self, stdin: AsyncFd | None, outputs: dict[int, AsyncFd], *, terminal: bool) -> None:
        self.stdin = stdin
        self.outputs = outputs
        self.terminal = terminal

    def close(self) -> None:
        for fd in (self.stdin, *self.outputs.values()):
            if fd is not None:
                fd.close()


def _own_terminal(*, raw: bool) -> tuple[_Streams, tuple[int, int, int]]:
    master, slave = open_pair(raw=raw)
    end = AsyncFd(master)
    return _Streams(end, {1: end}, terminal=True), (slave, slave, slave)


def _pipes(*, stdin: bool, stdout: bool, stderr: bool) -> tuple[_Streams, tuple[int, int, int]]:
    our_stdin: AsyncFd | None = None
    if stdin:
        their_stdin, fd = os.pipe2(os.O_CLOEXEC)
        our_stdin = AsyncFd(fd)
    else:
        their_stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    outputs: dict[int, AsyncFd] = {}
    theirs: list[int] = []
    for number, wanted in ((1, stdout), (2, stderr)):
        if wanted:
            fd, their_end = os.pipe2(os.O_CLOEXEC)
            outputs[number] = AsyncFd(fd)
        else:
            their_end = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        theirs.append(their_end)
    return _Streams(our_stdin, outputs, terminal=False), (their_stdin, theirs[0], theirs[1])
