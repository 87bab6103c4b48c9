"""Port-forward: SPDY, SPDY in a WebSocket, and plain WebSocket."""

import asyncio

import pytest

from nodeagent.server import ports

PATH = "/portForward/default/web"
PROTOCOL = "portforward.k8s.io"


async def pair(peer, port, request_id):
    """(error stream, data stream) as kubectl opens them."""
    error = await peer.open(streamtype="error", port=str(port), requestid=request_id)
    await peer.send(error, b"", fin=True)
    return error, await peer.open(streamtype="data", port=str(port), requestid=request_id)


async def echo_both(peer):
    """Two connections at once over one session, each with its own data, both ended cleanly."""
    pairs = [await pair(peer, 8080, "0"), await pair(peer, 9090, "1")]
    for number, (_, data) in enumerate(pairs):
        await peer.send(data, f"hello {number}".encode(), fin=True)
    await peer.until(lambda: peer.finished >= {stream for both in pairs for stream in both})
    assert [bytes(peer.received[data]) for _, data in pairs] == [b"hello 0", b"hello 1"]
    assert [bytes(peer.received[error]) for error, _ in pairs] == [b"", b""]


async def test_spdy(endpoint, spdy):
    """Data both ways, half-closes kept, the error stream empty; the newest ready sandbox is meant."""
    async with spdy(endpoint, PATH, PROTOCOL) as (peer, chosen):
        assert chosen == PROTOCOL
        await echo_both(peer)
    assert endpoint.runtime.requests == [("sandbox", 8080), ("sandbox", 9090)]


async def test_tunnel(endpoint, tunnel):
    """The same session inside a WebSocket, with message boundaries anywhere."""
    async with endpoint.http() as http, http.ws_connect(PATH, protocols=["SPDY/3.1+portforward.k8s.io"]) as socket:
        assert socket.protocol == "SPDY/3.1+portforward.k8s.io"
        peer = tunnel(socket)
        await echo_both(peer)
        await peer.ping(3)
        await peer.until(lambda: peer.pings == [3])
        await socket.close()
        assert socket.close_code == 1000


async def test_large_transfer_through_a_tunnel(endpoint, tunnel):
    """Megabytes through both directions at once arrive whole."""
    payload = bytes(range(256)) * 16384
    async with endpoint.http() as http, http.ws_connect(PATH, protocols=["SPDY/3.1+portforward.k8s.io"]) as socket:
        peer = tunnel(socket)
        error, data = await pair(peer, 8080, "0")

        async def send():
            for start in range(0, len(payload), 32768):
                await peer.send(data, payload[start : start + 32768])
            await peer.send(data, b"", fin=True)

        await asyncio.gather(send(), peer.until(lambda: {error, data} <= peer.finished))
        assert bytes(peer.received[data]) == payload


async def test_refused_connection(endpoint, spdy):
    """A port that nobody listens on is told on its error stream; the others go on."""
    async with spdy(endpoint, f"{PATH}/uid-1", PROTOCOL) as (peer, _):
        error, data = await pair(peer, 1, "0")
        await peer.until(lambda: {error, data} <= peer.finished)
        assert peer.received[error].decode() == (
            "error forwarding port 1 to pod web_default, uid uid-1: dial tcp 127.0.0.1:1: connection refused"
        )
        await echo_both_after(peer)


async def test_a_pod_that_ends_first(endpoint, spdy, monkeypatch):
    """Both streams end, though the client has ended none: kubectl 1.20 waits for the error stream's end before it hangs up."""
    monkeypatch.setattr(ports, "_LINGER_SECONDS", 0.0)
    async with spdy(endpoint, PATH, PROTOCOL) as (peer, _):
        error, data = await pair(peer, 3, "0")
        await peer.until(lambda: {error, data} <= peer.finished)
        assert (bytes(peer.received[error]), bytes(peer.received[data])) == (b"", b"")
        await echo_both_after(peer)
    assert endpoint.runtime.ports[0].closed.is_set()


async def echo_both_after(peer):
    error, data = await pair(peer, 8080, "7")
    await peer.send(data, b"still here", fin=True)
    await peer.until(lambda: {error, data} <= peer.finished)
    assert peer.received[data] == b"still here"


@pytest.mark.parametrize("port", [8080, 2])
async def test_reset_of_the_data_stream(endpoint, spdy, port):
    """kubectl resets the data stream when its own client closes, and waits for the end of the error stream.

    A server in the pod that does not mind the end of its input is left all the same.
    """
    async with spdy(endpoint, PATH, PROTOCOL) as (peer, _):
        error, data = await pair(peer, port, "0")
        await peer.send(data, b"x")
        await peer.until(lambda: peer.received[data] == b"x")
        await peer.reset_stream(data)
        await peer.until(lambda: error in peer.finished)
        assert peer.received[error] == b""
        await asyncio.wait_for(endpoint.runtime.ports[0].closed.wait(), 30)


async def test_streams_without_request_id(endpoint, spdy):
    """Very old clients pair by stream id."""
    async with spdy(endpoint, PATH, PROTOCOL) as (peer, _):
        error = await peer.open(streamtype="error", port="80")
        data = await peer.open(streamtype="data", port="80")
        await peer.send(data, b"old", fin=True)
        await peer.until(lambda: {error, data} <= peer.finished)
        assert peer.received[data] == b"old"


@pytest.mark.parametrize(
    "headers",
    [
        {"streamtype": "data"},
        {"streamtype": "data", "port": "0"},
        {"streamtype": "data", "port": "65536"},
        {"streamtype": "data", "port": "http"},
        {"streamtype": "stdout", "port": "80"},
        {"port": "80"},
    ],
)
async def test_refused_streams(endpoint, spdy, headers):
    """A stream that makes no sense is reset; the session lives on."""
    async with spdy(endpoint, PATH, PROTOCOL) as (peer, _):
        stream = await peer.open(reply=False, **headers)
        await peer.until(lambda: stream in peer.reset)
        await echo_both_after(peer)


@pytest.mark.parametrize("query", ["?port=8080&port=1", "?port=8080,1"])
async def test_plain_websocket(endpoint, query):
    """Two channels a port, each begun with the port's number; errors on the odd one."""
    async with endpoint.http() as http, http.ws_connect(PATH + query, protocols=["v4.channel.k8s.io"]) as socket:
        greetings = [(await socket.receive()).data for _ in range(4)]
        assert greetings == [b"\x00\x90\x1f", b"\x01\x90\x1f", b"\x02\x01\x00", b"\x03\x01\x00"]
        assert (await socket.receive()).data == (
            b"\x03error forwarding port 1 to pod web_default, uid uid-1: dial tcp 127.0.0.1:1: connection refused"
        )
        await socket.send_bytes(b"\x00ping")
        assert (await socket.receive()).data == b"\x00ping"
    await asyncio.wait_for(endpoint.runtime.ports[0].closed.wait(), 30)


@pytest.mark.parametrize(
    ("path", "offered", "answer"),
    [
        (PATH, "v4.channel.k8s.io", (400, 'query parameter "port" is required')),
        (f"{PATH}?port=x", "v4.channel.k8s.io", (400, "port must be between 1 and 65535")),
        (PATH, "SPDY/3.1+music", (400, "unable to upgrade: no tunneling spdy protocols provided")),
        (f"{PATH}?port=80", "music", (400, "requested protocol(s) are not supported")),
        ("/portForward/default/other", "v4.channel.k8s.io", (404, "pod does not exist")),
        (f"{PATH}/other-uid", "v4.channel.k8s.io", (404, "pod not found")),
    ],
)
async def test_refusals(endpoint, path, offered, answer):
    """Each mistake has the status and the words that clients know."""
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": offered}
    assert await endpoint.get(path, headers=headers) == answer


async def test_idle_session_ends(make_endpoint, spdy):
    """A silent session is dropped after the configured time."""
    endpoint = await make_endpoint(settings={"streaming_idle_seconds": 0.2})
    async with spdy(endpoint, PATH, PROTOCOL) as (peer, _):
        await pair(peer, 8080, "0")
        await peer.until_gone()
    await asyncio.wait_for(endpoint.runtime.ports[0].closed.wait(), 30)
