"""Sockets behind which there is no CRI, and peers that never answer."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from proto import cri_pb2 as cri
from runtimes import deadlines, errors
from runtimes.contract import ImageService, RuntimeService
from runtimes.cri import endpoint
from runtimes.cri.factory import cri_runtime
from runtimes.registry import Runtime

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def _http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


async def _silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(1000):
            pass
    writer.close()


async def _rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        writer.write(b"\0" * 100_000)
        await writer.drain()
    writer.close()


async def _hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@contextlib.asynccontextmanager
async def listening(path: Path, talk: Talk) -> AsyncIterator[None]:
    server = await asyncio.start_unix_server(talk, path)
    try:
        yield
    finally:
        server.close()


@contextlib.asynccontextmanager
async def _nobody(path: Path) -> AsyncIterator[None]:
    """A socket that a daemon left behind."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
        yield


@contextlib.asynccontextmanager
async def _file(path: Path) -> AsyncIterator[None]:
    path.write_text("no socket")
    yield


@contextlib.asynccontextmanager
async def _folder(path: Path) -> AsyncIterator[None]:
    path.mkdir()
    yield


@contextlib.asynccontextmanager
async def _missing(path: Path) -> AsyncIterator[None]:
    yield


PLACES = {
    "an HTTP server": lambda path: listening(path, _http),
    "silence": lambda path: listening(path, _silence),
    "rubbish": lambda path: listening(path, _rubbish),
    "hangs up": lambda path: listening(path, _hangs_up),
    "refused": _nobody,
    "a file": _file,
    "a folder": _folder,
    "missing": _missing,
}


@contextlib.asynccontextmanager
async def client(path: Path) -> AsyncIterator[Runtime]:
    made = cri_runtime("containerd", {"endpoint": f"unix://{path}"})
    await made.lifecycle.start()
    try:
        yield made
    finally:
        await made.lifecycle.stop()


@pytest.mark.parametrize("place", PLACES)
async def test_no_cri_behind_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Every call, of either service, and the events are Unavailable, and name the socket; nothing hangs."""
    quick = [option for option in endpoint._OPTIONS if option[0] != "grpc.min_reconnect_backoff_ms"]
    monkeypatch.setattr(endpoint, "_OPTIONS", (*quick, ("grpc.min_reconnect_backoff_ms", 100)))
    path = tmp_path / "s"
    async with PLACES[place](path), client(path) as made, asyncio.timeout(20):
        for call in (
            lambda: made.service.version(cri.VersionRequest()),
            lambda: made.images.list_images(cri.ListImagesRequest()),
            lambda: anext(made.service.events()),
        ):
            with pytest.raises(errors.Unavailable, match=str(path)):
                await call()


class Hanging(grpc.GenericRpcHandler):
    """Takes every call of any service, and never answers."""

    def service(self, _details: Any) -> Any:
        async def never(_request: Any, _context: Any) -> None:
            await asyncio.Event().wait()

        return grpc.unary_unary_rpc_method_handler(never)


@pytest.fixture
async def hanging(tmp_path: Path) -> AsyncIterator[Path]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Hanging(),))
    server.add_insecure_port(f"unix://{tmp_path / 's'}")
    await server.start()
    yield tmp_path / "s"
    await server.stop(None)


def _verbs(service: str, contract: type) -> list[tuple[str, Any]]:
    """The contract's verbs and their requests; the CRI calls them alike."""
    found = []
    for method in cri.DESCRIPTOR.services_by_name[service].methods:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower()
        if hasattr(contract, name):
            found.append((name, getattr(cri, method.input_type.name)))
    return found


RUNTIME_VERBS = _verbs("RuntimeService", RuntimeService)
IMAGE_VERBS = _verbs("ImageService", ImageService)


async def test_every_call_ends(hanging: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that never answers is a Timeout for every verb of the contract, and for the events. A pull, and a command without
    a time-out, may take as long as they take: who waits for them may cancel them."""
    monkeypatch.setattr(deadlines, "DEFAULT_SECONDS", 0.3)
    monkeypatch.setattr(deadlines, "RUN_SANDBOX_SECONDS", 0.3)
    assert len(RUNTIME_VERBS) > 20
    async with client(hanging) as made, asyncio.timeout(20):
        calls = [getattr(made.service, name)(request()) for name, request in RUNTIME_VERBS if name != "exec_sync"]
        calls += [getattr(made.images, name)(request()) for name, request in IMAGE_VERBS if name != "pull_image"]
        calls.append(anext(made.service.events()))
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(answer) for answer in ended} == {errors.Timeout}
        for endless in (
            made.service.exec_sync(cri.ExecSyncRequest(container_id="c")),
            made.images.pull_image(cri.PullImageRequest()),
        ):
            waiting = asyncio.ensure_future(endless)
            assert not (await asyncio.wait({waiting}, timeout=0.4))[0]
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
