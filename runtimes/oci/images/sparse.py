"""Sparse files in tars: which parts of the file its data are, in the four ways that GNU tar has written it.

Source: GNU tar's manual, "Storing Sparse Files": the old header (type S), and pax formats 0.0, 0.1 and 1.0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runtimes.oci.images.audit import Refused

_BLOCK = 512
_MAX_PIECES = 65536
MAP = b"GNU.sparse.map"
# Format 0.0 repeats these two for every piece: together they are the map of 0.1.
PIECE_KEYS = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparse:
    """(offset, length) of each piece of data, in the order of the data; `size` of the file with its holes."""

    pieces: tuple[tuple[int, int], ...]
    size: int


def old_map(header: bytes, read: Callable[[int], bytes], number: Callable[[bytes], int]) -> Sparse:
    """Of a header of type S and the blocks that continue it, which `read` brings."""
    size = number(header[483:495])
    found = _numbers(header[386:482], number)
    more = header[482]
    while more:
        block = read(_BLOCK)
        found += _numbers(block[:504], number)
        more = block[504]
        _limit(len(found))
    return _checked(found, size)


def pax_map(records: Mapping[bytes, bytes], size: int, read: Callable[[int], bytes]) -> tuple[Sparse, int] | None:
    """Of pax records, and in format 1.0 of the beginning of the data; with how many bytes of data are left of `size`."""
    if records.get(b"GNU.sparse.major") == b"1":
        found, used = _leading_map(read, size)
        return _checked(found, _decimal(records.get(b"GNU.sparse.realsize", b""))), size - used
    if MAP not in records:
        return None
    numbers = [_decimal(text) for text in records[MAP].split(b",") if text]
    _limit(len(numbers))
    if len(numbers) % 2:
        raise Refused("a malformed map of a sparse file")
    return _checked(
        numbers, _decimal(records.get(b"GNU.sparse.size") or records.get(b"GNU.sparse.realsize", b""))
    ), size


def _leading_map(read: Callable[[int], bytes], size: int) -> tuple[list[int], int]:
    """Decimal lines, padded to whole blocks: how many pieces, then offset and length of each."""
    lines: list[bytes] = []
    rest, used, wanted = b"", 0, 1
    while len(lines) < wanted:
        used += _BLOCK
        if used > size:
            raise Refused("a malformed map of a sparse file")
        *whole, rest = (rest + read(_BLOCK)).split(b"\n")
        lines += whole
        if lines:
            wanted = 1 + 2 * _decimal(lines[0])
            _limit(wanted)
    return [_decimal(line) for line in lines[1:wanted]], used


def _numbers(entries: bytes, number: Callable[[bytes], int]) -> list[int]:
    """Fields of 12 bytes; an empty one ends them."""
    found: list[int] = []
    for at in range(0, len(entries) - 23, 24):
        if not entries[at]:
            break
        found += number(entries[at : at + 12]), number(entries[at + 12 : at + 24])
    return found


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 18:
        raise Refused("a malformed map of a sparse file")
    return int(text)


def _limit(count: int) -> None:
    if count > 2 * _MAX_PIECES:
        raise Refused(f"a sparse file of more than {_MAX_PIECES} pieces")


def _checked(numbers: list[int], size: int) -> Sparse:
    pieces = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    end = 0
    for offset, length in pieces:
        if offset < end or offset + length > size:
            raise Refused("a malformed map of a sparse file")
        end = offset + length
    return Sparse(pieces=pieces, size=size)
