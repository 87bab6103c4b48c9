"""Exec, attach, port-forward and log reopening of one handler."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from asyncinotify import Inotify, Mask

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import PortConnection, StreamSession
from runtimes.oci import attach, conmon, execs, ports
from runtimes.oci.core import Core
from runtimes.oci.entities import Container

_CONNECT_SECONDS = 10.0
_REOPEN_SECONDS = 10.0
_MAX_OUTPUT_BYTES = (
    16 * 1024 * 1024
)  # of each stream of an ExecSync, as in containerd; what is more is read and dropped


class Streaming:
    def __init__(self, core: Core) -> None:
        self._core = core

    async def exec_sync(self, request: cri.ExecSyncRequest) -> cri.ExecSyncResponse:
        """Raises Timeout after `timeout` seconds, when the command has been killed and is gone."""
        container = self._core.registry.container(request.container_id)
        session = await execs.open_exec(
            self._core, container, list(request.cmd), terminal=False, stdin=False, stdout=True, stderr=True
        )
        output = {1: bytearray(), 2: bytearray()}
        try:
            async with asyncio.timeout(request.timeout or None):
                await _collect(session.output(), output)
                code = await session.wait()
        except TimeoutError:
            raise errors.Timeout(f"command {' '.join(request.cmd)!r} timed out: {request.timeout}s exceeded") from None
        finally:
            await self._core.background.carry_through(session.close(), f"ending an exec in {container.id}")
        return cri.ExecSyncResponse(stdout=bytes(output[1]), stderr=bytes(output[2]), exit_code=code)

    async def open_exec(self, request: cri.ExecRequest) -> StreamSession:
        _check_streams(request)
        container = self._core.registry.container(request.container_id)
        return await execs.open_exec(
            self._core,
            container,
            list(request.cmd),
            terminal=request.tty,
            stdin=request.stdin,
            stdout=request.stdout,
            stderr=request.stderr,
        )

    async def open_attach(self, request: cri.AttachRequest) -> StreamSession:
        _check_streams(request)
        container = self._core.registry.container(request.container_id)
        return await attach.open_attach(
            container,
            self._core.paths.bundle(container.id),
            stdin=request.stdin,
            stdout=request.stdout,
            stderr=request.stderr,
            timeout_seconds=_CONNECT_SECONDS,
        )

    async def open_port(self, pod_sandbox_id: str, port: int) -> PortConnection:
        sandbox = self._core.registry.sandbox(pod_sandbox_id)
        if not sandbox.ready:
            raise errors.WrongState(f"sandbox {sandbox.id} is not ready")
        return await ports.open_port(sandbox.namespaces.net, port, timeout_seconds=_CONNECT_SECONDS)

    async def reopen_log(self, container: Container) -> None:
        """Returns when conmon writes to a new file: the old one can then be packed up. Raises WrongState, Timeout."""
        if not container.running:
            raise errors.WrongState(f"container {container.id} is not running")
        if not container.record.log_path:
            return
        log_path = Path(container.record.log_path)
        with Inotify() as inotify:
            # conmon makes the new file under another name and renames it
            inotify.add_watch(log_path.parent, Mask.MOVED_TO | Mask.ONLYDIR)
            conmon.reopen_log(self._core.paths.bundle(container.id))
            try:
                async with asyncio.timeout(_REOPEN_SECONDS):
                    async for event in inotify:
                        if event.name is not None and event.name.name == log_path.name:
                            return
            except TimeoutError:
                raise errors.Timeout(f"the log of container {container.id} was not reopened in time") from None


def _check_streams(request: cri.ExecRequest | cri.AttachRequest) -> None:
    """As the CRI has it. Raises InvalidArgument."""
    if not (request.stdin or request.stdout or request.stderr):
        raise errors.InvalidArgument("one of stdin, stdout and stderr must be set")
    if request.tty and request.stderr:
        raise errors.InvalidArgument("tty and stderr cannot both be set: a terminal has one output")


async def _collect(stream: AsyncIterator[tuple[int, bytes]], output: dict[int, bytearray]) -> None:
    async for number, chunk in stream:
        room = _MAX_OUTPUT_BYTES - len(output[number])
        output[number] += chunk[:room]
