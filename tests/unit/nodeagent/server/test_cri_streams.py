"""The streaming server of a CRI endpoint."""

import asyncio
import json
from types import SimpleNamespace
from urllib.parse import urlsplit

import aiohttp
import pytest

from nodeagent.server.cri_streams import MAX_TOKENS, TOKEN_SECONDS, CRIStreams
from proto import cri_pb2 as cri
from runtimes.errors import NotFound, ResourceExhausted, Unavailable

V5 = "v5.channel.k8s.io"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def streams(clock):
    made = CRIStreams(clock=clock)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def runtime(endpoint):
    """The scripted runtime of the node's endpoint, which has nothing else to do with these tests."""
    return endpoint.runtime


def plain(url):
    """What the SPDY client of the tests takes for an endpoint."""
    return SimpleNamespace(port=urlsplit(url).port, tls=lambda: None)


async def echo(session):
    while (data := await session.stdin.get()) is not None:
        yield 1, data
    yield 2, b"end"
    session.code = 7


async def test_exec_by_websocket(streams, runtime):
    """The request that made the URL is carried out; what the client's query says does not count."""
    runtime.script = echo
    request = cri.ExecRequest(container_id="c1", cmd=["a"], stdin=True, stdout=True, stderr=True)
    url = streams.exec_url(runtime, request)
    found = {}
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}?command=other&input=0", protocols=[V5]) as socket,
    ):
        await socket.send_bytes(b"\0hello")
        await socket.send_bytes(b"\xff\0")
        async for message in socket:
            found[message.data[0]] = found.get(message.data[0], b"") + message.data[1:]
    assert (found[1], found[2], json.loads(found[3])["reason"]) == (b"hello", b"end", "NonZeroExitCode")
    assert runtime.requests == [request]


async def test_exec_by_spdy(streams, runtime, spdy):
    """As a kubelet's client does it: one stream each, the exit code on the error stream."""
    runtime.script = echo
    url = streams.exec_url(runtime, cri.ExecRequest(container_id="c1", cmd=["a"], stdin=True, stdout=True))
    async with spdy(plain(url), urlsplit(url).path, "v4.channel.k8s.io") as (peer, _):
        opened = {name: await peer.open(streamtype=name) for name in ("error", "stdin", "stdout")}
        await peer.send(opened["stdin"], b"hello", fin=True)
        await peer.until(lambda: opened["error"] in peer.finished)
    assert bytes(peer.received[opened["stdout"]]) == b"hello"
    assert json.loads(peer.received[opened["error"]])["details"]["causes"][0]["message"] == "7"


async def test_a_terminal_has_one_output(streams, runtime):
    """Attach with a terminal: stderr is not offered, whoever asks."""

    async def both(session):
        yield 1, b"out"
        yield 2, b"err"

    runtime.script = both
    url = streams.attach_url(runtime, cri.AttachRequest(container_id="c1", stdout=True, stderr=True, tty=True))
    async with aiohttp.ClientSession() as http, http.ws_connect(url, protocols=[V5]) as socket:
        found = [message.data async for message in socket]
    assert found[:2] == [b"\x01", b"\x01out"]
    assert all(message[0] != 2 for message in found)


async def test_ports(streams, runtime, spdy):
    """One pair of streams a connection; a failure names the port and the sandbox."""
    url = streams.port_forward_url(runtime, cri.PortForwardRequest(pod_sandbox_id="sandbox"))
    async with spdy(plain(url), urlsplit(url).path, "portforward.k8s.io") as (peer, _):
        error = await peer.open(streamtype="error", port="80", requestid="0")
        data = await peer.open(streamtype="data", port="80", requestid="0")
        await peer.send(error, b"", fin=True)
        await peer.send(data, b"echo", fin=True)
        await peer.until(lambda: data in peer.finished)
        assert bytes(peer.received[data]) == b"echo"
        error = await peer.open(streamtype="error", port="1", requestid="1")
        await peer.open(streamtype="data", port="1", requestid="1")
        await peer.until(lambda: error in peer.finished)
        assert bytes(peer.received[error]).startswith(b"error forwarding port 1 to pod sandbox, uid : ")


@pytest.mark.parametrize("late", [False, True])
async def test_a_url_is_for_one_use_within_a_minute(streams, runtime, clock, late):
    """Afterwards it is 404, and so is a guess; the process is not started again."""
    runtime.script = echo
    url = streams.exec_url(runtime, cri.ExecRequest(container_id="c1", cmd=["a"], stdout=True))
    async with aiohttp.ClientSession() as http:
        if late:
            clock.now = TOKEN_SECONDS
        else:
            async with http.post(url) as answer:
                assert answer.status == 400, "an upgrade is missing; the URL is used up all the same"
        guesses = (url, url.replace("/exec/", "/attach/"), url.rpartition("/")[0] + "/x")
        for tried in guesses:
            async with http.post(tried) as answer:
                assert answer.status == 404
    assert runtime.requests == []


@pytest.mark.parametrize(("fault", "status"), [(NotFound("gone"), 404), (Unavailable("broken"), 500)])
async def test_refused_by_the_runtime(streams, runtime, fault, status):
    """The refusal is an HTTP answer, before any upgrade."""
    runtime.fault = fault
    url = streams.exec_url(runtime, cri.ExecRequest(container_id="c1", cmd=["a"], stdout=True))
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(url, protocols=[V5])
    assert caught.value.status == status


async def test_unused_urls_have_a_bound(streams, runtime, clock):
    """RESOURCE_EXHAUSTED, until the old ones have run out."""
    request = cri.ExecRequest(container_id="c1", cmd=["a"], stdout=True)
    for _ in range(MAX_TOKENS):
        streams.exec_url(runtime, request)
    with pytest.raises(ResourceExhausted):
        streams.exec_url(runtime, request)
    clock.now = TOKEN_SECONDS
    streams.exec_url(runtime, request)


async def test_stop_ends_the_streams(streams, runtime):
    """The session is closed, so the process ends; the client sees its connection close."""

    async def silent(session):
        await asyncio.Event().wait()
        yield 1, b""

    runtime.script = silent
    url = streams.exec_url(runtime, cri.ExecRequest(container_id="c1", cmd=["a"], stdout=True))
    async with aiohttp.ClientSession() as http, http.ws_connect(url, protocols=[V5]) as socket:
        await socket.receive()
        await streams.stop()
        assert runtime.sessions[0].closed.is_set()
        while not (await socket.receive()).type.name.startswith(("CLOS", "ERR")):
            pass
