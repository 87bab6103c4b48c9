"""gRPC over a unix socket, with gRPC itself."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from runtimes.linux import grpc_unix

_METHOD = "/test.Service/Say"
_ANSWER = bytes(5 * 1024 * 1024)


@contextlib.asynccontextmanager
async def serving(path: Path) -> AsyncIterator[None]:
    async def say(request: bytes, context: Any) -> bytes:
        return _ANSWER

    server = grpc.aio.server()
    methods = {"Say": grpc.unary_unary_rpc_method_handler(say)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", methods),))
    server.add_insecure_port(grpc_unix.target(path))
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


@pytest.mark.parametrize("name", ["plain.sock", "a b.sock", "100%41.sock", "é?#.sock"])
async def test_a_path_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    """What means something else in a URI is a part of the file's name all the same, for servers and for clients."""
    path = tmp_path / name
    async with serving(path), grpc.aio.insecure_channel(grpc_unix.target(path), options=grpc_unix.options()) as channel:
        assert path.is_socket()
        assert await channel.unary_unary(_METHOD)(b"", timeout=10.0) == _ANSWER


async def test_how_large_an_answer_may_be(tmp_path: Path) -> None:
    """gRPC's own limit of 4 MB does not hold; the caller's does."""
    path = tmp_path / "s"
    async with (
        serving(path),
        grpc.aio.insecure_channel(grpc_unix.target(path), options=grpc_unix.options(1024)) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(_METHOD)(b"", timeout=10.0)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
