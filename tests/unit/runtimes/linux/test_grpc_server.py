"""What a gRPC server of ours logs, by gRPC itself."""

from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from runtimes.linux import grpc_unix
from runtimes.linux.grpc_server import grpc_server

_METHOD = "/test.Service/Say"
_LARGEST = 1000
_NOT_SENT = "an answer was not sent, its caller is gone, or it is larger than may be sent: "


async def said(path: Path, answer: bytes | Exception) -> grpc.StatusCode:
    """How a call ends whose method returns or raises this."""

    async def say(request: bytes, context: Any) -> bytes:
        if isinstance(answer, Exception):
            raise answer
        return answer

    servers = [grpc_server((("grpc.max_send_message_length", _LARGEST),)) for _ in range(2)]
    methods = {"Say": grpc.unary_unary_rpc_method_handler(say)}
    servers[0].add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", methods),))
    servers[0].add_insecure_port(grpc_unix.target(path))
    await servers[0].start()
    try:
        async with grpc.aio.insecure_channel(grpc_unix.target(path), options=grpc_unix.options()) as channel:
            await channel.unary_unary(_METHOD)(b"", timeout=10.0)
    except grpc.aio.AioRpcError as error:
        return error.code()
    finally:
        for server in servers:
            await server.stop(None)
    return grpc.StatusCode.OK


async def test_an_answer_that_is_not_sent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line and no traceback, however many servers there are: that of a caller that went says no more of itself. gRPC makes
    the same error of an answer that is too large, which can be had at will.
    """
    assert await said(tmp_path / "s", bytes(_LARGEST + 1)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    (told,) = caplog.records
    assert (told.levelname, told.exc_info) == ("WARNING", None)
    assert told.getMessage().startswith(_NOT_SENT) and _METHOD in told.getMessage()


async def test_a_fault_of_the_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is told as gRPC tells it."""
    assert await said(tmp_path / "s", ValueError("a fault")) is grpc.StatusCode.UNKNOWN
    (told,) = caplog.records
    assert told.levelname == "ERROR" and told.exc_info is not None and told.exc_info[0] is ValueError


async def test_nothing_to_tell(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A call that is answered leaves no line."""
    assert await said(tmp_path / "s", b"well") is grpc.StatusCode.OK
    assert not caplog.records
