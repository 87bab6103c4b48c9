from collections.abc import Iterator

import pytest

from runtimes.oci.images.audit import Refused
from runtimes.oci.images.sparse import Sparse, old_map, pax_map


def reader(data: bytes) -> "tuple[list[bytes], object]":
    taken: list[bytes] = []
    rest: Iterator[int] = iter(data)

    def read(size: int) -> bytes:
        piece = bytes(next(rest) for _ in range(size))
        taken.append(piece)
        return piece

    return taken, read


def octal(field: bytes) -> int:
    return int(field.strip(b"\0 ") or b"0", 8)


def field(value: int) -> bytes:
    return b"%011o\0" % value


def test_old_map_that_goes_on_in_more_blocks() -> None:
    """A header holds four pieces; a block that follows 21 more, and says whether another one comes."""
    pieces = [(1000 * number, 10) for number in range(26)]
    fields = [field(offset) + field(length) for offset, length in pieces]
    header = bytes(386) + b"".join(fields[:4]) + b"\1" + field(30_000) + bytes(17)
    blocks = b"".join(fields[4:25]) + b"\1" + bytes(7) + fields[25].ljust(504, b"\0") + bytes(8)
    taken, read = reader(blocks)
    assert old_map(header, read, octal) == Sparse(pieces=tuple(pieces), size=30_000)  # type: ignore[arg-type]
    assert len(taken) == 2


@pytest.mark.parametrize(
    "records",
    [
        {b"GNU.sparse.map": b"0,5,100,7", b"GNU.sparse.size": b"200"},
        {b"GNU.sparse.map": b"0,5,100,7,", b"GNU.sparse.realsize": b"200"},
    ],
)
def test_map_in_the_records(records: dict[bytes, bytes]) -> None:
    """Formats 0.0 and 0.1 leave the data as it is."""
    _, read = reader(b"")
    expected = Sparse(pieces=((0, 5), (100, 7)), size=200)
    assert pax_map(records, 12, read) == (expected, 12)  # type: ignore[arg-type]


def test_map_before_the_data() -> None:
    """Format 1.0 takes whole blocks of the data for its map."""
    records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"200"}
    _, read = reader(b"2\n0\n5\n100\n7\n".ljust(512, b"\0"))
    expected = Sparse(pieces=((0, 5), (100, 7)), size=200)
    assert pax_map(records, 524, read) == (expected, 12)  # type: ignore[arg-type]


def test_file_that_is_not_sparse() -> None:
    """Other records say nothing about holes."""
    assert pax_map({b"path": b"x"}, 5, lambda size: b"") is None


@pytest.mark.parametrize(
    ("records", "data", "why"),
    [
        ({b"GNU.sparse.map": b"0,5,3,7", b"GNU.sparse.size": b"200"}, b"", "malformed"),  # they overlap
        ({b"GNU.sparse.map": b"0,5,100", b"GNU.sparse.size": b"200"}, b"", "malformed"),
        ({b"GNU.sparse.map": b"0,500", b"GNU.sparse.size": b"200"}, b"", "malformed"),  # beyond the end
        ({b"GNU.sparse.map": b"0,-5", b"GNU.sparse.size": b"200"}, b"", "malformed"),
        ({b"GNU.sparse.map": b"0,5"}, b"", "malformed"),  # of no size
        ({b"GNU.sparse.map": b"0,0," * 70_000, b"GNU.sparse.size": b"1"}, b"", "more than 65536 pieces"),
        ({b"GNU.sparse.major": b"1", b"GNU.sparse.realsize": b"9"}, b"99999999\n".ljust(512, b"1"), "more than 65536"),
        ({b"GNU.sparse.major": b"1", b"GNU.sparse.realsize": b"9"}, b"x\n".ljust(512, b"1"), "malformed"),
        ({b"GNU.sparse.major": b"1", b"GNU.sparse.realsize": b"9"}, b"1" * 1024, "malformed"),  # it never ends
    ],
)
def test_maps_that_lie(records: dict[bytes, bytes], data: bytes, why: str) -> None:
    """A map is in order, within the file and bounded, or it is refused."""
    _, read = reader(data)
    with pytest.raises(Refused, match=why):
        pax_map(records, 1024, read)  # type: ignore[arg-type]
