import gzip
import hashlib
import io
import os
import threading

import pytest

from runtimes.oci.images.decompression import DamagedStream
from runtimes.oci.images.plain_layer import PlainLayer


def opened(data: bytes) -> PlainLayer:
    return PlainLayer(io.BytesIO(data), "sha256")


def inflating_threads() -> int:
    return sum(thread.name in ("inflate", "hash") for thread in threading.enumerate())


def test_everything_in_order() -> None:
    """Headers and data come in order across the pieces in which they were inflated, and all of it is hashed."""
    data = os.urandom(3_000_000)
    layer = opened(gzip.compress(data, 1))
    seen = layer.read(512)
    layer.skip(100)
    seen += data[512:612] + b"".join(bytes(piece) for piece in layer.pieces(2_500_000))
    assert seen == data[: len(seen)]
    assert not layer.at_end()
    assert layer.digest() == "sha256:" + hashlib.sha256(data).hexdigest()
    layer.close()
    assert inflating_threads() == 0


def test_end() -> None:
    """Who asks for more than there is, again and again, is told so and never waits."""
    layer = opened(b"x" * 10)
    for _ in range(2):
        with pytest.raises(EOFError, match="it ends in the middle"):
            list(layer.pieces(11))
    with pytest.raises(EOFError, match="it ends in the middle"):
        layer.read(1)
    assert layer.at_end()
    layer.close()


def test_damage_is_told_where_it_is_met() -> None:
    """What comes before the damage is read; then the damage is an error."""
    data = os.urandom(2_000_000)
    broken = gzip.compress(data, 1)[:-500_000]
    layer = opened(broken)
    assert layer.read(1000) == data[:1000]
    with pytest.raises(DamagedStream):
        layer.skip(1_999_000)
    layer.close()


def test_given_up() -> None:
    """Closing early ends what reads ahead, which by then waits for room."""
    layer = opened(b"\0" * 50_000_000)
    layer.read(10)
    layer.close()
    assert inflating_threads() == 0
