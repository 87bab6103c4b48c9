"""SPDY peers that break the rules."""

import asyncio
import struct

import pytest

from runtimes.kube.spdy.headers import BadHeaders, Deflater, Inflater

PATH = "/portForward/default/web"
PROTOCOL = "portforward.k8s.io"


def test_bombs_are_refused():
    """A small block that inflates to a huge one is not inflated."""
    deflater = Deflater()
    block = deflater._context.compress(bytes(64 * 1024 * 1024)) + deflater._context.flush(2)
    assert len(block) < 1024 * 1024
    with pytest.raises(BadHeaders):
        Inflater().pairs(block)


async def test_bad_stream_ids(endpoint, spdy):
    """Even, lower and doubled ids are reset; the session lives on."""
    async with spdy(endpoint, PATH, PROTOCOL) as (peer, _):
        first = await peer.open(streamtype="error", port="80", requestid="a")
        peer._next_id = first
        await peer.open(reply=False, streamtype="data", port="80", requestid="a")
        await peer.until(lambda: peer.reset == {first: 8})
        peer._next_id = 4
        await peer.open(reply=False, streamtype="data", port="80", requestid="a")
        await peer.until(lambda: peer.reset == {first: 8, 4: 1})
        peer._next_id = 7
        data = await peer.open(streamtype="data", port="80", requestid="a")
        await peer.send(99, b"to nobody")
        await peer._control(9, struct.pack("!II", data, 65536))
        await peer._control(4, struct.pack("!I", 0))
        await peer.ping(2)
        await peer.ping(5)
        await peer.send(data, b"x", fin=True)
        await peer.until(lambda: data in peer.finished)
        assert (peer.received[data], peer.pings) == (b"x", [5])


@pytest.mark.parametrize("rubbish", [b"\x80\x02\0\x01\0\0\0\0", b"\x80\x03\0\x01\0\0\0\x12" + bytes(18)])
async def test_rubbish_ends_the_connection(endpoint, spdy, rubbish):
    """A peer that does not speak SPDY is dropped, and nothing is left of it."""
    async with spdy(endpoint, PATH, PROTOCOL) as (peer, _):
        await peer._write(rubbish)
        await asyncio.wait_for(peer.until_gone(), 30)


async def test_goaway(endpoint, spdy):
    """A client that says goodbye is let go."""
    async with spdy(endpoint, PATH, PROTOCOL) as (peer, _):
        await peer._control(7, struct.pack("!II", 0, 0))
        await asyncio.wait_for(peer.until_gone(), 30)
