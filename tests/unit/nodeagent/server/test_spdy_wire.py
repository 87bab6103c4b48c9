"""SPDY frames and header blocks, and peers that break the rules."""

import asyncio
import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.server.spdy import frames
from nodeagent.server.spdy.frames import BadFrame, Header, Kind
from nodeagent.server.spdy.headers import DICTIONARY, BadHeaders, Deflater, Inflater

PATH = "/portForward/default/web"
PROTOCOL = "portforward.k8s.io"


def test_dictionary():
    """Byte for byte the standard one."""
    digest = "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02"
    assert (len(DICTIONARY), hashlib.sha256(DICTIONARY).hexdigest()) == (1423, digest)


def test_first_bytes_of_a_compressed_block():
    """The zlib header names the dictionary."""
    assert Deflater().block({})[:6] == bytes.fromhex("78f9e3c6a7c2")


names = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=20)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@given(st.lists(st.dictionaries(names, values, max_size=5), max_size=6))
def test_blocks_share_one_context(blocks):
    """What is deflated in order is inflated in order."""
    deflater, inflater = Deflater(), Inflater()
    assert [inflater.pairs(deflater.block(pairs)) for pairs in blocks] == blocks


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        struct.pack("!I", 1),
        struct.pack("!II", 1, 99) + b"short",
        struct.pack("!I", 2000),
        struct.pack("!II", 1, 1) + b"A" + struct.pack("!I", 0),
        struct.pack("!II", 1, 0) + struct.pack("!I", 0),
        (struct.pack("!I", 2) + (struct.pack("!I", 1) + b"a" + struct.pack("!I", 0)) * 2),
        struct.pack("!I", 0) + b"more",
    ],
)
def test_bad_blocks(plain):
    """Cut short, too many, upper case, empty or doubled names, left-over bytes."""
    deflater = Deflater()
    block = deflater._context.compress(plain) + deflater._context.flush(2)
    with pytest.raises(BadHeaders):
        Inflater().pairs(block)


def test_bombs_are_refused():
    """A small block that inflates to a huge one is not inflated."""
    deflater = Deflater()
    block = deflater._context.compress(bytes(64 * 1024 * 1024)) + deflater._context.flush(2)
    assert len(block) < 1024 * 1024
    with pytest.raises(BadHeaders):
        Inflater().pairs(block)


@pytest.mark.parametrize(
    ("raw", "header"),
    [
        ("8003000101000010", Header(Kind.SYN_STREAM, 0, 1, 16)),
        ("8003000600000004", Header(Kind.PING, 0, 0, 4)),
        ("0000000501000003", Header(None, 5, 1, 3)),
    ],
)
def test_headers_of_frames(raw, header):
    """Control and data frames."""
    assert frames.parse_header(bytes.fromhex(raw)) == header


@pytest.mark.parametrize(
    "raw",
    [
        "8002000100000010",
        "8003000500000000",
        "8003006300000000",
        "0000000000000003",
        "80030001000fffff".replace("0fffff", "ffffff"),
    ],
)
def test_bad_frames(raw):
    """Other versions, unknown types, stream 0 and oversized control frames."""
    with pytest.raises(BadFrame):
        frames.parse_header(bytes.fromhex(raw))


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


@pytest.mark.parametrize(
    "rubbish", [b"GET / HTTP/1.1\r\n\r\n", b"\x80\x02\0\x01\0\0\0\0", b"\x80\x03\0\x01\0\0\0\x12" + bytes(18)]
)
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
