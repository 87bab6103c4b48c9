"""exec and attach, over WebSocket and SPDY."""

import asyncio
import base64
import json

import aiohttp
import pytest

from runtimes.errors import Internal, NotFound, WrongState

SUCCESS = {"metadata": {}, "status": "Success"}
EXIT_7 = {
    "metadata": {},
    "status": "Failure",
    "message": "command terminated with non-zero exit code: exit status 7",
    "reason": "NonZeroExitCode",
    "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
}
PATH = "/exec/default/web/main?command=a&command=b+c&output=1&error=1"
V4 = "v4.channel.k8s.io"
V5 = "v5.channel.k8s.io"


async def both_outputs(session):
    yield 1, b"out"
    yield 2, b"err"
    session.code = 7


async def echo(session):
    """What comes in goes out; the code is how many pieces there were."""
    while (data := await session.stdin.get()) is not None:
        yield 1, data
    yield 1, b"|end"


async def silent(session):
    await asyncio.Event().wait()
    yield 1, b"never"


async def collect(socket):
    """Messages by channel until the close, in text or binary; and the close code."""
    found: dict[int, bytes] = {}
    first = None
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            channel, data = int(message.data[0]), base64.b64decode(message.data[1:])
        else:
            channel, data = message.data[0], message.data[1:]
        first = (channel, data) if first is None else first
        found[channel] = found.get(channel, b"") + data
    return first, found, socket.close_code


@pytest.mark.parametrize(
    ("offered", "chosen", "error"),
    [
        ([V5], V5, EXIT_7),
        (["strange", V4, V5], V4, EXIT_7),
        (["v4.base64.channel.k8s.io"], "v4.base64.channel.k8s.io", EXIT_7),
        (["base64.channel.k8s.io"], "base64.channel.k8s.io", EXIT_7["message"]),
        (["channel.k8s.io"], "channel.k8s.io", EXIT_7["message"]),
        ([], None, EXIT_7["message"]),
    ],
)
async def test_every_websocket_protocol(endpoint, offered, chosen, error):
    """The first known name is taken; a ready message, both outputs, how it ended, and close code 1000."""
    endpoint.runtime.script = both_outputs
    async with endpoint.http() as http, http.ws_connect(PATH, protocols=offered) as socket:
        assert socket.protocol == chosen
        first, found, code = await collect(socket)
    assert first == (1, b"")
    ending = found.pop(3).decode()
    assert (found, code) == ({1: b"out", 2: b"err"}, 1000)
    assert (json.loads(ending) if isinstance(error, dict) else ending) == error
    request = endpoint.runtime.requests[0]
    assert (list(request.cmd), request.container_id, request.stdin, request.tty) == (["a", "b c"], "c1", False, False)
    await asyncio.wait_for(endpoint.runtime.sessions[0].closed.wait(), 30)


async def test_websocket_half_close_and_resize(endpoint):
    """v5 says the end of stdin; sizes reach the process; success is a Status."""
    endpoint.runtime.script = echo
    path = "/exec/default/web/main?command=cat&input=1&output=1&tty=1"
    async with endpoint.http() as http, http.ws_connect(path, protocols=[V5]) as socket:
        assert (await socket.receive()).data == b"\x01"
        await socket.send_bytes(b"\x04" + b'{"Width":120,"Height":40}')
        await socket.send_bytes(b"\x04rubbish")
        await socket.send_bytes(b"\x00hello")
        await socket.send_bytes(b"\x00")
        await socket.send_bytes(b"")
        await socket.send_bytes(b"\x09nobody")
        await socket.send_bytes(b"\xff\x00")
        _, found, code = await collect(socket)
    assert (found[1], json.loads(found[3]), code) == (b"hello|end", SUCCESS, 1000)
    assert endpoint.runtime.sessions[0].sizes.get_nowait() == (120, 40)


async def test_websocket_impossible_close_signal(endpoint):
    """Closing a channel that a client cannot close ends the connection, and the process."""
    endpoint.runtime.script = silent
    async with endpoint.http() as http, http.ws_connect(PATH, protocols=[V5]) as socket:
        await socket.send_bytes(b"\xff\x01")
        await collect(socket)
    await asyncio.wait_for(endpoint.runtime.sessions[0].closed.wait(), 30)


@pytest.mark.parametrize("how", ["close", "drop"])
async def test_websocket_client_goes(endpoint, how):
    """The process is given up as soon as its client is gone, politely or not."""
    endpoint.runtime.script = silent
    async with endpoint.http() as http:
        socket = await http.ws_connect(PATH, protocols=[V5])
        await socket.receive()
        if how == "close":
            await socket.close()
        else:
            socket.get_extra_info("transport")
            socket._response.connection.transport.abort()
        await asyncio.wait_for(endpoint.runtime.sessions[0].closed.wait(), 30)


async def test_websocket_pings_while_the_process_does_not_read(endpoint):
    """A stuck stdin must not make the node look dead: pings are answered."""
    endpoint.runtime.script = silent
    path = "/exec/default/web/main?command=cat&input=1&output=1"
    async with endpoint.http() as http, http.ws_connect(path, protocols=[V5], autoping=False) as socket:
        await socket.receive()
        for _ in range(8):
            await socket.send_bytes(b"\x00" + bytes(32 * 1024))
        await socket.ping(b"there?")
        answer = await asyncio.wait_for(socket.receive(), 30)
        assert (answer.type, answer.data) == (aiohttp.WSMsgType.PONG, b"there?")


async def large(session):
    for number in range(320):
        yield 1, bytes([number % 251]) * 65536


LARGE_BYTES = 320 * 65536


async def test_websocket_slow_reader(endpoint):
    """Twenty megabytes for a client that does not read: the process waits, and nothing is lost."""
    endpoint.runtime.script = large
    async with endpoint.http() as http, http.ws_connect(PATH, protocols=[V5], max_msg_size=0) as socket:
        await socket.receive()
        session = endpoint.runtime.sessions[0]
        produced = -1
        while produced != session.produced:  # until the pipes are full
            produced = session.produced
            await asyncio.sleep(0.2)
        assert session.produced < LARGE_BYTES
        _, found, _ = await collect(socket)
    assert found[1] == b"".join([bytes([number % 251]) * 65536 for number in range(320)])


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([V5, V4, "v3.channel.k8s.io", "channel.k8s.io"], V4),
        (["v3.channel.k8s.io, v2.channel.k8s.io"], "v3.channel.k8s.io"),
        (["v2.channel.k8s.io"], "v2.channel.k8s.io"),
    ],
)
async def test_every_spdy_protocol(endpoint, spdy, offered, chosen):
    """The first known name is taken; outputs end before the error stream says how it went."""
    endpoint.runtime.script = both_outputs
    async with spdy(endpoint, PATH, *offered) as (peer, protocol):
        assert protocol == chosen
        streams = [await peer.open(streamtype=name) for name in ("error", "stdout", "stderr")]
        await peer.until_gone()
        error, out, err = (bytes(peer.received[stream]) for stream in streams)
        assert (out, err, peer.finished, peer.reset) == (b"out", b"err", set(streams), {})
        assert (json.loads(error) if chosen == V4 else error.decode()) == (
            EXIT_7 if chosen == V4 else EXIT_7["message"]
        )
    await asyncio.wait_for(endpoint.runtime.sessions[0].closed.wait(), 30)


async def test_spdy_half_close_resize_and_ping(endpoint, spdy):
    """FIN on stdin is the process's end of input; sizes come cut anywhere; pings are answered."""
    endpoint.runtime.script = echo
    path = "/exec/default/web/main?command=cat&input=1&output=1&tty=1"
    async with spdy(endpoint, path, V4) as (peer, _):
        names = ("error", "stdin", "stdout", "resize")
        streams = {name: await peer.open(streamtype=name) for name in names}
        await peer.ping(1)
        await peer.until(lambda: peer.pings == [1])
        for piece in (b'{"Width":80,"Hei', b'ght":24}\n{"Width":100,"Height":50}\n{"Wid'):
            await peer.send(streams["resize"], piece)
        session = endpoint.runtime.sessions[0]
        assert [await session.sizes.get(), await session.sizes.get()] == [(80, 24), (100, 50)]
        await peer.send(streams["stdin"], b"hello")
        await peer.send(streams["stdin"], b"", fin=True)
        await peer.until_gone()
        assert peer.received[streams["stdout"]] == b"hello|end"
        assert json.loads(peer.received[streams["error"]]) == SUCCESS


async def test_spdy_data_that_comes_early(endpoint, spdy):
    """What is sent on a stream before its SYN_REPLY has come, and before the others are there, is not lost."""
    endpoint.runtime.script = echo
    async with spdy(endpoint, "/exec/default/web/main?command=cat&input=1&output=1", V4) as (peer, _):
        stdin = await peer.open(streamtype="stdin", reply=False)
        await peer.send(stdin, b"early", fin=True)
        await peer.open(streamtype="error", reply=False)
        stdout = await peer.open(streamtype="stdout", reply=False)
        await peer.until_gone()
        assert peer.received[stdout] == b"early|end"


async def test_spdy_slow_reader(endpoint, spdy):
    """The process waits for a client that does not read, and nothing is lost."""
    endpoint.runtime.script = large
    async with spdy(endpoint, "/exec/default/web/main?command=a&output=1", V4) as (peer, _):
        await peer.open(streamtype="error")
        out = await peer.open(streamtype="stdout")
        session = endpoint.runtime.sessions[0]
        produced = -1
        while produced != session.produced:
            produced = session.produced
            await asyncio.sleep(0.2)
        assert session.produced < LARGE_BYTES
        await peer.until_gone()
        assert peer.received[out] == b"".join([bytes([number % 251]) * 65536 for number in range(320)])


async def test_spdy_strange_stream(endpoint, spdy):
    """A stream that was not asked for ends the connection; no process is left."""
    endpoint.runtime.script = silent
    async with spdy(endpoint, PATH, V4) as (peer, _):
        await peer.open(streamtype="error")
        await peer.open(streamtype="music", reply=False)
        await peer.until_gone()
    await asyncio.wait_for(endpoint.runtime.sessions[0].closed.wait(), 30)


async def test_spdy_client_goes(endpoint, spdy):
    """The process is given up when the connection is."""
    endpoint.runtime.script = silent
    async with spdy(endpoint, PATH, V4) as (peer, _):
        for name in ("error", "stdout", "stderr"):
            await peer.open(streamtype=name)
    await asyncio.wait_for(endpoint.runtime.sessions[0].closed.wait(), 30)


async def test_failure_of_the_runtime(endpoint):
    """What goes wrong after the handshake is a Status of its own."""

    async def broken(session):
        session.fault = Internal("OCI runtime exec failed: no such file")
        yield 1, b"some"

    endpoint.runtime.script = broken
    async with endpoint.http() as http, http.ws_connect(PATH, protocols=[V4]) as socket:
        _, found, code = await collect(socket)
    assert (found[1], code) == (b"some", 1000)
    text = "OCI runtime exec failed: no such file"
    assert json.loads(found[3]) == {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: error executing command in container: {text}",
        "reason": "InternalError",
        "details": {"causes": [{"message": text}]},
        "code": 500,
    }


@pytest.mark.parametrize(
    ("method", "path", "headers", "answer"),
    [
        ("GET", "/exec/default/other/main?output=1", {}, (404, "pod does not exist")),
        ("GET", "/exec/default/web/wrong-uid/main?output=1", {}, (404, "pod does not exist")),
        ("GET", "/exec/default/web/idle?output=1", {}, (500, 'container not found ("idle")')),
        ("GET", "/attach/default/web/idle?output=1", {}, (500, "container idle not found in pod web_default")),
        ("POST", "/run/default/web/idle?cmd=a", {}, (500, 'container not found ("idle")')),
        ("POST", "/run/default/other/main?cmd=a", {}, (404, "pod does not exist")),
        (
            "GET",
            "/exec/default/web/main?tty=1&output=true",
            {},
            (400, "you must specify at least 1 of stdin, stdout, stderr"),
        ),
        (
            "GET",
            PATH,
            {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": "v9"},
            (400, "requested protocol(s) are not supported"),
        ),
        (
            "POST",
            PATH,
            {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v9, v8"},
            (
                403,
                "unable to upgrade: unable to negotiate protocol: client supports [v9 v8], server accepts "
                "[v4.channel.k8s.io v3.channel.k8s.io v2.channel.k8s.io channel.k8s.io]",
            ),
        ),
        ("PUT", PATH, {}, (405, "405: Method Not Allowed")),
        ("GET", "/nothing", {}, (404, "404: Page Not Found")),
    ],
)
async def test_refusals(endpoint, method, path, headers, answer):
    """Each mistake has the status and the words that clients know."""
    assert await endpoint.get(path, method=method, headers=headers) == answer
    assert endpoint.runtime.sessions == []


async def test_missing_upgrade_headers(endpoint):
    """A plain request, and one that names no protocol, are told what is missing."""
    status, text = await endpoint.get(PATH, method="POST")
    assert status == 400 and text.startswith("unable to upgrade: missing upgrade headers in request: ")
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    status, text = await endpoint.get(PATH, method="POST", headers=headers)
    assert status == 400
    assert text.startswith("unable to upgrade: header X-Stream-Protocol-Version does not exist in request with ")


@pytest.mark.parametrize(("fault", "status"), [(NotFound("gone"), 404), (WrongState("not running"), 500)])
async def test_refused_by_the_runtime(endpoint, fault, status):
    """A runtime's refusal before anything was promised is an HTTP answer."""
    endpoint.runtime.fault = fault
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": V4}
    assert await endpoint.get(PATH, method="POST", headers=headers) == (status, fault.message)


async def test_run(endpoint):
    """A command's whole output; a failure tells the code and what was said."""
    assert await endpoint.get("/run/default/web/main?cmd=ls+-l", method="POST") == (200, "out\nerr\n")
    assert list(endpoint.runtime.requests[0].cmd) == ["ls", "-l"]
    assert await endpoint.get("/run/default/web/uid-1/main?cmd=fail", method="POST") == (
        500,
        "command 'fail' exited with 3: err\n",
    )


async def test_attach_takes_the_terminal_from_the_container(endpoint):
    """A container with a terminal has one output, whatever the client asks for."""
    endpoint.pods.document["spec"]["containers"][0]["tty"] = True
    endpoint.runtime.script = both_outputs
    path = "/attach/default/web/main?input=1&output=1&error=1"
    async with endpoint.http() as http, http.ws_connect(path, protocols=[V4]) as socket:
        await collect(socket)
    request = endpoint.runtime.requests[0]
    assert (request.tty, request.stdin, request.stdout, request.stderr) == (True, True, True, False)


async def test_idle_connections_end(make_endpoint, spdy):
    """A silent exec is dropped after the configured time, with its process."""
    endpoint = await make_endpoint(settings={"streaming_idle_seconds": 0.2})
    endpoint.runtime.script = silent
    async with endpoint.http() as http, http.ws_connect(PATH, protocols=[V5]) as socket:
        await asyncio.wait_for(collect(socket), 30)
    async with spdy(endpoint, PATH, V4) as (peer, _):
        for name in ("error", "stdout", "stderr"):
            await peer.open(streamtype=name)
        await peer.until_gone()
    for session in endpoint.runtime.sessions:
        await asyncio.wait_for(session.closed.wait(), 30)


async def test_ten_sessions_at_once(endpoint, spdy):
    """Ten execs, half of each protocol, side by side and each with its own answer."""
    endpoint.runtime.script = echo
    path = "/exec/default/web/main?command=cat&input=1&output=1"
    ready = asyncio.Barrier(10)

    async def over_websocket(text):
        async with endpoint.http() as http, http.ws_connect(path, protocols=[V5]) as socket:
            await ready.wait()
            await socket.send_bytes(b"\x00" + text)
            await socket.send_bytes(b"\xff\x00")
            return (await collect(socket))[1][1]

    async def over_spdy(text):
        async with spdy(endpoint, path, V4) as (peer, _):
            streams = [await peer.open(streamtype=name) for name in ("error", "stdin", "stdout")]
            await ready.wait()
            await peer.send(streams[1], text, fin=True)
            await peer.until_gone()
            return bytes(peer.received[streams[2]])

    texts = [f"text {number}".encode() for number in range(10)]
    jobs = [(over_spdy if number % 2 else over_websocket)(text) for number, text in enumerate(texts)]
    assert await asyncio.gather(*jobs) == [text + b"|end" for text in texts]


async def test_stop_ends_the_sessions(make_endpoint, spdy):
    """Stopping the endpoint ends what is open, at once, and gives up the processes."""
    endpoint = await make_endpoint()
    endpoint.runtime.script = silent
    async with endpoint.http() as http, http.ws_connect(PATH, protocols=[V5]) as socket:
        await socket.receive()
        async with spdy(endpoint, PATH, V4) as (peer, _):
            for name in ("error", "stdout", "stderr"):
                await peer.open(streamtype=name)
            stopping = asyncio.create_task(endpoint.server.stop())
            await asyncio.gather(collect(socket), peer.until_gone())
            await stopping
    for session in endpoint.runtime.sessions:
        await asyncio.wait_for(session.closed.wait(), 30)
