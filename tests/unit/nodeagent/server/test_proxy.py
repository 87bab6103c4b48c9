"""Streaming through a runtime's own server."""

import asyncio
import contextlib

import pytest

PATH = "/exec/default/web/main?command=a&output=1&input=1"


@contextlib.asynccontextmanager
async def backend(endpoint, answer: bytes):
    """A runtime's streaming server: says `answer`, and sends back what it gets, in capitals, until "END"."""
    heads = []

    async def serve(reader, writer):
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)
        if answer.startswith(b"HTTP/1.1 101"):
            while data := await reader.read(65536):
                writer.write(data.upper())
                await writer.drain()
                if data.endswith(b"end"):
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint.runtime.url = f"http://127.0.0.1:{port}/exec/TOKEN?x=1"
    endpoint.pods.runtime.streaming = None
    try:
        yield heads
    finally:
        server.close()
        await server.wait_closed()


async def upgrade(endpoint):
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=endpoint.tls())
    writer.write(
        f"POST {PATH} HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nAuthorization: Bearer secret\r\n\r\n".encode()
    )
    return reader, writer


async def test_bytes_are_carried(endpoint):
    """The request goes to the runtime's URL without the client's credentials; then bytes go both ways, to the last."""
    accepted = b"HTTP/1.1 101 Switching Protocols\r\nX-Chosen: v4\r\n\r\n"
    async with backend(endpoint, accepted) as heads:
        reader, writer = await upgrade(endpoint)
        assert await reader.readexactly(len(accepted)) == accepted
        payload = b"abcdefgh" * 200_000
        writer.write(payload)
        assert await asyncio.wait_for(reader.readexactly(len(payload)), 30) == payload.upper()
        writer.write(b"the end")
        assert await asyncio.wait_for(reader.read(), 30) == b"THE END"
        writer.close()
    lines = heads[0].split("\r\n")
    assert lines[0] == "POST /exec/TOKEN?x=1 HTTP/1.1"
    assert sorted(line.split(":")[0] for line in lines[1:] if line) == [
        "Connection",
        "Host",
        "Upgrade",
        "X-Stream-Protocol-Version",
    ]


@pytest.mark.parametrize("length", ["Content-Length: 4\r\n", ""])
async def test_a_refusal_is_passed_on(endpoint, length):
    """What the runtime refuses is the client's answer."""
    async with backend(endpoint, f"HTTP/1.1 404 Not Found\r\n{length}\r\nlost".encode()):
        headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
        assert await endpoint.get(PATH, method="POST", headers=headers) == (404, "lost")


async def test_no_server(endpoint):
    """A runtime whose server is not there is a 500 that says so."""
    endpoint.runtime.url = "http://127.0.0.1:1/exec/TOKEN"
    endpoint.pods.runtime.streaming = None
    status, text = await endpoint.get(PATH, method="POST", headers={"Connection": "Upgrade", "Upgrade": "SPDY/3.1"})
    assert status == 500 and text.startswith("error dialing the runtime's streaming server at 127.0.0.1:1: ")
    status, text = await endpoint.get(PATH, method="POST")
    assert status == 400 and text.startswith("unable to upgrade: missing upgrade headers in request: ")
