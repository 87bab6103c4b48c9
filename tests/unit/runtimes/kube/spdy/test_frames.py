"""SPDY frames and header blocks: what is written can be read, and what is bad is refused."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.kube.spdy import frames
from runtimes.kube.spdy.frames import BadFrame, FrameKind, Header, Reset, parse_header
from runtimes.kube.spdy.headers import DICTIONARY, MAX_PAIRS, BadHeaders, Deflater, Inflater

NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=20)
PAIRS = st.dictionaries(NAMES, st.text("abcXYZ 019/.=\0", max_size=50), max_size=20)


def test_the_dictionary_is_the_standard_one() -> None:
    """Its length and its checksum, which zlib streams carry, are those of SPDY/3."""
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (frames.data(5, b"abc"), bytes.fromhex("00000005 00000003") + b"abc"),
        (frames.data(5, b"", fin=True), bytes.fromhex("00000005 01000000")),
        (frames.reset(7, Reset.CANCEL), bytes.fromhex("80030003 00000008 00000007 00000005")),
        (frames.goaway(9), bytes.fromhex("80030007 00000008 00000009 00000000")),
        (frames.syn_reply(1, b"xy"), bytes.fromhex("80030002 00000006 00000001") + b"xy"),
        (frames.control(FrameKind.PING, b"\0\0\0\1"), bytes.fromhex("80030006 00000004 00000001")),
    ],
)
def test_layouts(frame: bytes, expected: bytes) -> None:
    """Each frame has exactly the bytes of the specification."""
    assert frame == expected


@given(st.integers(1, 2**31 - 1), st.binary(max_size=200), st.booleans())
def test_data_round_trip(stream_id: int, payload: bytes, fin: bool) -> None:
    """A data frame reads back as what was written."""
    raw = frames.data(stream_id, payload, fin=fin)
    assert parse_header(raw[: frames.HEADER_BYTES]) == Header(None, stream_id, int(fin), len(payload))


@given(st.sampled_from(FrameKind), st.binary(max_size=200), st.integers(0, 255))
def test_control_round_trip(kind: FrameKind, payload: bytes, flags: int) -> None:
    """A control frame reads back as what was written."""
    raw = frames.control(kind, payload, flags)
    assert parse_header(raw[: frames.HEADER_BYTES]) == Header(kind, 0, flags, len(payload))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("80020001 0000000a", "SPDY version 2"),
        ("80030005 00000000", "control frame of type 5"),
        ("800300ff 00000000", "control frame of type 255"),
        ("80030001 00ffffff", "a control frame of 16777215 bytes"),
        ("00000000 00000001", "data on stream 0"),
    ],
)
def test_bad_frames(raw: str, message: str) -> None:
    """What is no SPDY/3 is refused, and said."""
    with pytest.raises(BadFrame) as caught:
        parse_header(bytes.fromhex(raw))
    assert str(caught.value) == message


def test_number_of_a_short_payload() -> None:
    """A control frame that ends inside a number is refused; the reserved bit is not part of a number."""
    assert frames.number(b"\xff\xff\xff\xff") == 2**31 - 1
    with pytest.raises(BadFrame):
        frames.number(b"\0\0\0")


@given(st.lists(PAIRS, max_size=5))
def test_header_blocks_round_trip(blocks: list[dict[str, str]]) -> None:
    """Blocks of one direction share a context, and read back in their order."""
    deflater, inflater = Deflater(), Inflater()
    assert [inflater.pairs(deflater.block(block)) for block in blocks] == blocks


def test_blocks_name_the_dictionary() -> None:
    """The first block of a direction says that it is made with the standard dictionary, as clients insist on."""
    first = Deflater().block({"a": "b"})
    assert (first[0], bool(first[1] & 0x20), first[2:6]) == (0x78, True, bytes.fromhex("e3c6a7c2"))


def compressed(plain: bytes) -> bytes:
    context = zlib.compressobj(9, zlib.DEFLATED, 15, 9, 0, zdict=DICTIONARY)
    return context.compress(plain) + context.flush(zlib.Z_SYNC_FLUSH)


def text(value: bytes) -> bytes:
    return struct.pack("!I", len(value)) + value


def block(count: int, *values: bytes) -> bytes:
    return compressed(struct.pack("!I", count) + b"".join(text(value) for value in values))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"no zlib at all", id="no zlib"),
        pytest.param(zlib.compress(b"\0\0\0\0")[:-4] + b"\xff\xff\xff\xff", id="wrong checksum"),
        pytest.param(compressed(b"\0\0"), id="cut inside the count"),
        pytest.param(block(1, b"name"), id="no value"),
        pytest.param(compressed(struct.pack("!II", 1, 100) + b"short"), id="length beyond the end"),
        pytest.param(block(1, b"Name", b"x"), id="upper case"),
        pytest.param(block(1, b"", b"x"), id="empty name"),
        pytest.param(block(2, b"a", b"1", b"a", b"2"), id="twice"),
        pytest.param(block(0, b"a"), id="bytes after the end"),
        pytest.param(block(MAX_PAIRS + 1), id="too many"),
        pytest.param(compressed(bytes(8 * 1024 * 1024)), id="a bomb"),
    ],
)
def test_bad_header_blocks(raw: bytes) -> None:
    """Every damaged or hostile block is refused as such, and costs little memory."""
    with pytest.raises(BadHeaders):
        Inflater().pairs(raw)
