"""What is read of an entry; what is refused is in test_audit.py."""

import contextlib
import hashlib
import io
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from runtimes.errors import InvalidArgument
from runtimes.oci.images.layer_entries import FOLDER, HARD_LINK, REGULAR, Entry, LayerEntries
from runtimes.oci.images.plain_layer import PlainLayer
from runtimes.oci.images.sparse import Sparse


def packed(member: tarfile.TarInfo, data: bytes = b"", form: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def read(plain: bytes) -> Iterator[tuple[Entry, bytes]]:
    with contextlib.closing(PlainLayer(io.BytesIO(plain), "sha256")) as layer:
        diff_id = "sha256:" + hashlib.sha256(plain).hexdigest()
        for entry, data in LayerEntries(layer, digest="sha256:blob", diff_id=diff_id):
            yield entry, b"".join(bytes(piece) for piece in data)


def member(name: str, **more: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in more.items():
        setattr(made, key, value)
    return made


def with_checksum(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_everything_about_a_file(form: int) -> None:
    """Long names, large owners, and data of any length, in both formats that packers write."""
    name = "./long/" + "n" * 200
    made = member(name, size=700, mode=0o104755, uid=3_000_000, gid=7, mtime=1_700_000_000)
    ((entry, data),) = read(packed(made, b"x" * 700, form))
    assert data == b"x" * 700
    assert entry == Entry(
        kind=REGULAR,
        parts=[b"long", b"n" * 200],
        size=700,
        mode=0o4755,
        uid=3_000_000,
        gid=7,
        mtime_ns=1_700_000_000 * 10**9,
    )


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("1700000000.123456789", 1_700_000_000_123_456_789),
        ("12.5", 12_500_000_000),
        ("-3.5", 0),
        ("99999999999999", 0),
    ],
)
def test_times(told: str, expected: int) -> None:
    """Times are exact to the nanosecond; those that no file system keeps are the epoch."""
    ((entry, _),) = read(packed(member("a", pax_headers={"mtime": told})))
    assert entry.mtime_ns == expected


def test_attributes() -> None:
    """Extended attributes are taken as they are."""
    ((entry, _),) = read(packed(member("a", pax_headers={"SCHILY.xattr.user.a": "b=c\n", "comment": "none"})))
    assert entry.xattrs == {b"user.a": b"b=c\n"}


def test_what_a_header_says_holds_for_one_entry() -> None:
    """A pax header is over after the entry that it precedes."""
    first = packed(member("a", pax_headers={"path": "other", "SCHILY.xattr.user.a": "b"}))[: 3 * 512]
    entries = [entry for entry, _ in read(first + packed(member("b")))]
    assert [(entry.parts, entry.xattrs) for entry in entries] == [([b"other"], {b"user.a": b"b"}), ([b"b"], {})]


def test_old_kinds() -> None:
    """Before ustar a file's type was a zero byte, and a folder a file with a slash at its end."""
    plain = bytearray()
    for name in (b"file", b"folder/"):
        header = bytearray(packed(member(name.decode()), form=tarfile.USTAR_FORMAT)[:512])
        header[:100] = name.ljust(100, b"\0")
        header[156:157], header[257:265] = b"\0", bytes(8)
        plain += with_checksum(header)
    assert [(entry.kind, entry.parts) for entry, _ in read(bytes(plain) + bytes(1024))] == [
        (REGULAR, [b"file"]),
        (FOLDER, [b"folder"]),
    ]


def test_hard_link_has_no_data() -> None:
    """Some packers give a hard link the size of its file; no data follow it. Its target is below the root."""
    link = member("h", type=tarfile.LNKTYPE, linkname="/etc/../x")
    header = bytearray(packed(link)[:512])
    header[124:136] = b"%011o\0" % 5000
    entries = [entry for entry, _ in read(with_checksum(header) + packed(member("b")))]
    assert [(entry.kind, entry.parts, entry.target) for entry in entries] == [
        (HARD_LINK, [b"h"], b"x"),
        (REGULAR, [b"b"], b""),
    ]


def test_sparse_files() -> None:
    """All formats of GNU tar lead to the same map, and the next entry is found after the data."""
    later = packed(member("later"))
    told = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s", "GNU.sparse.realsize": "99"}
    data = b"1\n90\n3\n".ljust(512, b"\0") + b"abc"
    newest = packed(member("GNUSparseFile.1/s", size=len(data), pax_headers=told), data)[: 5 * 512]
    told = {"GNU.sparse.name": "s", "GNU.sparse.size": "99", "GNU.sparse.map": "90,3"}
    newer = packed(member("x", size=3, pax_headers=told), b"abc")[: 4 * 512]
    old = bytearray(packed(member("s", size=3), b"abc", tarfile.GNU_FORMAT)[: 2 * 512])
    old[156:157], old[386:410], old[483:495] = b"S", b"%011o\0%011o\0" % (90, 3), b"%011o\0" % 99
    old[:512] = with_checksum(old[:512])
    for layer in (newest, newer, bytes(old)):
        (entry, found), (after, _) = read(layer + later)
        assert (entry.parts, entry.sparse, found) == ([b"s"], Sparse(pieces=((90, 3),), size=99), b"abc")
        assert after.parts == [b"later"]


def test_map_of_other_data() -> None:
    """A map whose pieces are not the data's length is refused."""
    told = {"GNU.sparse.size": "99", "GNU.sparse.map": "90,4"}
    with pytest.raises(InvalidArgument, match="refused: a malformed map of a sparse file"):
        list(read(packed(member("x", size=3, pax_headers=told), b"abc")))


def test_unknown_kind() -> None:
    """What nobody knows how to make is refused."""
    with pytest.raises(InvalidArgument, match="refused: an entry of type 'Z', which is unknown"):
        list(read(packed(member("x", type=b"Z"))))
