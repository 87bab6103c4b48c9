"""Exec, attach and port-forward by URL: checked here, then given to whoever serves the streams."""

from typing import Protocol

from typing_extensions import override

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import LocalStreaming
from runtimes.registry import Runtime


class StreamingURLs(Protocol):
    """A streaming server of this process. Each URL is good for one use, and for a short while. Raises ResourceExhausted."""

    def exec_url(self, streaming: LocalStreaming, request: cri.ExecRequest) -> str: ...

    def attach_url(self, streaming: LocalStreaming, request: cri.AttachRequest) -> str: ...

    def port_forward_url(self, streaming: LocalStreaming, request: cri.PortForwardRequest) -> str: ...


class NoStreams(StreamingURLs):
    """There is no streaming server (a read-only socket)."""

    @override
    def exec_url(self, streaming: LocalStreaming, request: cri.ExecRequest) -> str:
        raise errors.NotSupported("no streams are served here")

    @override
    def attach_url(self, streaming: LocalStreaming, request: cri.AttachRequest) -> str:
        raise errors.NotSupported("no streams are served here")

    @override
    def port_forward_url(self, streaming: LocalStreaming, request: cri.PortForwardRequest) -> str:
        raise errors.NotSupported("no streams are served here")


async def exec_answer(runtime: Runtime, urls: StreamingURLs, request: cri.ExecRequest) -> cri.ExecResponse:
    """Raises InvalidArgument, NotFound, WrongState: now, rather than when the URL is used."""
    if not request.cmd:
        raise errors.InvalidArgument("exec needs a command")
    _check_streams(request)
    await _check_running(runtime, request.container_id)
    if runtime.streaming is None:
        return await runtime.service.exec(request)
    return cri.ExecResponse(url=urls.exec_url(runtime.streaming, request))


async def attach_answer(runtime: Runtime, urls: StreamingURLs, request: cri.AttachRequest) -> cri.AttachResponse:
    """As exec."""
    _check_streams(request)
    await _check_running(runtime, request.container_id)
    if runtime.streaming is None:
        return await runtime.service.attach(request)
    return cri.AttachResponse(url=urls.attach_url(runtime.streaming, request))


async def port_forward_answer(
    runtime: Runtime, urls: StreamingURLs, request: cri.PortForwardRequest
) -> cri.PortForwardResponse:
    """As exec, of a sandbox."""
    if not all(0 < port < 65536 for port in request.port):
        raise errors.InvalidArgument("ports must be between 1 and 65535")
    wanted = cri.PodSandboxStatusRequest(pod_sandbox_id=request.pod_sandbox_id)
    if (await runtime.service.pod_sandbox_status(wanted)).status.state != cri.SANDBOX_READY:
        raise errors.WrongState(f"sandbox {request.pod_sandbox_id} is not ready")
    if runtime.streaming is None:
        return await runtime.service.port_forward(request)
    return cri.PortForwardResponse(url=urls.port_forward_url(runtime.streaming, request))


def _check_streams(request: cri.ExecRequest | cri.AttachRequest) -> None:
    if not (request.stdin or request.stdout or request.stderr):
        raise errors.InvalidArgument("one of stdin, stdout, or stderr must be set")
    if request.tty and request.stderr:
        raise errors.InvalidArgument("tty and stderr cannot both be true")


async def _check_running(runtime: Runtime, container_id: str) -> None:
    answer = await runtime.service.container_status(cri.ContainerStatusRequest(container_id=container_id))
    if answer.status.state != cri.CONTAINER_RUNNING:
        raise errors.WrongState(f"container {container_id} is not running")
