"""Frames of clients that stream: SPDY/3 with its header blocks, WebSocket with its channels."""

import asyncio
import struct
from typing import Any

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from hypothesis import strategies as st

from nodeagent.server.idle_timeout import IdleTimer
from nodeagent.server.process import RequestedStreams
from nodeagent.server.spdy.port_forward import SPDYPorts
from nodeagent.server.spdy.session import Session, Stream
from nodeagent.server.websocket import WebSocketClient
from runtimes.errors import RuntimeFault, Unavailable
from runtimes.kube.spdy import frames
from runtimes.kube.spdy.headers import Deflater
from tests.fuzz.contract import Target
from tests.fuzz.grammar import packed


class _Sent:
    """A Wire whose client has sent all it will, and reads everything."""

    def __init__(self, data: bytes) -> None:
        self._pieces = [data[at : at + 700] for at in range(0, len(data), 700)]
        self.pending_bytes = 0

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None:
        await asyncio.sleep(0)

    async def finish(self) -> None: ...

    def abort(self) -> None: ...


async def _session(data: bytes) -> None:
    readers: list[asyncio.Task[None]] = []

    async def read_all(stream: Stream) -> None:
        while await stream.read():
            pass

    def accept(stream: Stream) -> frames.Reset | None:
        readers.append(asyncio.create_task(read_all(stream)))
        return None

    await Session(_Sent(data), accept, IdleTimer(0)).run()
    await asyncio.gather(*readers)


async def _ports(data: bytes) -> None:
    async def connect(port: int) -> Any:
        raise Unavailable("nobody listens")

    await SPDYPorts(_Sent(data), connect, lambda port, cause: cause, IdleTimer(0)).serve()


def _spdy(data: bytes) -> None:
    asyncio.run(_session(data))
    asyncio.run(_ports(data))


class _Process:
    """A process that takes everything."""

    async def write_stdin(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def resize(self, width: int, height: int) -> None: ...


class _Silent(asyncio.Transport):
    def write(self, data: Any) -> None: ...

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...


async def _websocket(data: bytes, protocol: str) -> None:
    socket = web.WebSocketResponse(protocols=(protocol,), max_msg_size=1 << 20, compress=False, autoping=True)
    loop = asyncio.get_running_loop()
    connection = BaseProtocol(loop)
    transport = _Silent()
    connection.transport = transport
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    headers |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": protocol}
    request = make_mocked_request("GET", "/", headers=headers, transport=transport)
    request.protocol.set_parser = lambda parser, **_: setattr(request.protocol, "parser_", parser)  # type: ignore[method-assign]
    await socket.prepare(request)
    parser: Any = request.protocol.parser_  # type: ignore[attr-defined]
    for at in range(0, len(data), 700):
        parser.feed_data(data[at : at + 700])
    parser.feed_eof()
    client = WebSocketClient(
        socket, protocol, RequestedStreams(stdin=True, stdout=True, stderr=True, tty=False), IdleTimer(0)
    )
    await client.receive(_Process())  # type: ignore[arg-type]


def _both(data: bytes) -> None:
    for protocol in ("v5.channel.k8s.io", "base64.channel.k8s.io"):
        asyncio.run(_websocket(data, protocol))


def _syn(stream_id: int, kind: str, flags: int = 0) -> bytes:
    block = Deflater().block({"streamtype": kind, "port": "80", "requestid": "0"})
    return frames.control(frames.FrameKind.SYN_STREAM, struct.pack("!IIH", stream_id, 0, 0) + block, flags)


_SPDY = packed(
    st.sampled_from([_syn(1, "error"), _syn(3, "data"), _syn(1, "stdin", 1), _syn(2, "stdout"), _syn(2**31 - 1, "x")]),
    st.builds(frames.data, st.sampled_from([1, 3, 5]), st.binary(max_size=30), fin=st.booleans()),
    st.builds(
        frames.control, st.sampled_from(list(frames.FrameKind)), st.binary(max_size=16), st.sampled_from([0, 1, 2, 255])
    ),
    st.binary(max_size=8),
)


def _frame(first: int, payload: bytes, key: bytes, masked: bool) -> bytes:
    length = struct.pack("!B", len(payload) | (0x80 if masked else 0))
    sent = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload)) if masked else payload
    return bytes((first,)) + length + (key if masked else b"") + sent


_WEBSOCKET = packed(
    st.builds(
        _frame,
        st.sampled_from([0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8A, 0xC2, 0x83]),
        st.sampled_from(
            [b"\0abc", b'\x04{"Width":1,"Height":2}', b"\xff\0", b"0YWJj", b"4eyJXaWR0aCI6MX0=", b"\x03\xe8", b""]
        )
        | st.binary(max_size=60),
        st.binary(min_size=4, max_size=4),
        st.sampled_from([True, True, True, False]),
    ),
    st.binary(max_size=6),
)

TARGETS = (
    Target(
        name="spdy", run=_spdy, inputs=_SPDY, words=(b"\x80\x03\0\x01", b"\0\0\0\x01\x01\xff\xff\xff", _syn(1, "error"))
    ),
    Target(
        name="websocket",
        run=_both,
        allowed=(RuntimeFault,),
        inputs=_WEBSOCKET,
        words=(b"\x82\xfe\xff\xff", b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", b"\x81\x80\0\0\0\0"),
    ),
)
