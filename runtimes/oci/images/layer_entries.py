"""A layer's tar as entries that have passed the audit; at its end it is known to be the layer that it says it is.

It also counts what the layer will take. Memory is bounded whatever the layer says.

Source: POSIX pax interchange format, GNU tar's extensions, star's prefix.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from runtimes.errors import InvalidArgument
from runtimes.oci.images.audit import Refused, check_name, check_xattr, inside, show
from runtimes.oci.images.decompression import DamagedStream
from runtimes.oci.images.plain_layer import PlainLayer
from runtimes.oci.images.sparse import MAP, PIECE_KEYS, Sparse, old_map, pax_map

_BLOCK = 512
_MAX_SPECIAL_BYTES = 1024 * 1024  # pax headers and long names; the limit of Go's archive/tar
_INODE_BYTES = 4096
_ZERO = bytes(_BLOCK)
_XATTR = b"SCHILY.xattr."
_LARGEST_ID = 2**32 - 2  # the one after it means "leave as it is" to chown(2)
_LATEST_SECOND = 2**34  # what ext4 can keep
REGULAR, HARD_LINK, SYMBOLIC_LINK, CHARACTER, BLOCK, FOLDER, FIFO = (bytes([c]) for c in b"0123456"[:7])
_DATALESS = (HARD_LINK, SYMBOLIC_LINK, CHARACTER, BLOCK, FOLDER, FIFO)
_REGULAR_KINDS = (REGULAR, b"\0", b"7", b"S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What unpacked layers take at most: files that a higher layer replaces are counted twice."""

    bytes: int = 0
    inodes: int = 0


@dataclass(slots=True, kw_only=True)
class Entry:
    """One thing to make. `parts` is its path, empty for the root; `kind` a REGULAR … FIFO.

    `target`: of a symbolic link as it stands, of a hard link a path below the root. `size` bytes of data follow in the layer, of
    the pieces of a `sparse` file or of a whole one.
    """

    kind: bytes
    parts: list[bytes]
    target: bytes = b""
    size: int = 0
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    device: tuple[int, int] = (0, 0)
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    sparse: Sparse | None = None


class LayerEntries:
    """One pass over a layer. What nobody reads of an entry's data is passed over."""

    def __init__(self, plain: PlainLayer, *, digest: str, diff_id: str) -> None:
        self._plain = plain
        self._digest = digest
        self._diff_id = diff_id
        self._next: dict[bytes, bytes] = {}  # what a pax or GNU header says of the entry that follows
        self._bytes = 0
        self._inodes = 0

    @property
    def usage(self) -> Usage:
        """Of the entries so far."""
        return Usage(bytes=self._bytes, inodes=self._inodes)

    def __iter__(self) -> Iterator[tuple[Entry, Iterator[memoryview]]]:
        """Entries, each with its data. Raises InvalidArgument, also at the end when the content is not `diff_id`'s."""
        try:
            yield from self._entries()
            if self._plain.digest() != self._diff_id:
                raise Refused(f"its content is not {self._diff_id}, which the image configuration promises")
        except Refused as error:
            raise InvalidArgument(f"layer {self._digest} is refused: {error}") from None
        except (DamagedStream, EOFError) as error:
            raise InvalidArgument(f"layer {self._digest} is damaged: {error}") from None

    def _entries(self) -> Iterator[tuple[Entry, Iterator[memoryview]]]:
        plain = self._plain
        while not plain.at_end():
            header = plain.read(_BLOCK)
            if header == _ZERO:
                if not plain.at_end() and plain.read(_BLOCK) != _ZERO:
                    raise Refused("a header after the end")
                return
            if sum(header) - sum(header[148:156]) + 8 * 32 != _number(header[148:156]):
                raise Refused("it is not a tar archive, or a damaged one")
            kind = header[156:157]
            if kind in b"xgLK":
                self._special(kind, header)
                continue
            entry = self._entry(kind, header)
            self._next = {}
            data = plain.pieces(entry.size)
            yield entry, data
            for _ in data:
                pass
            plain.skip(-entry.size % _BLOCK)

    def _entry(self, kind: bytes, header: bytes) -> Entry:
        told = self._next
        name, target = _names(header)
        if told:
            name, target = told.get(b"path") or name, told.get(b"linkpath") or target
        parts = check_name(name)
        if kind == b"\0" and name.endswith(b"/"):
            kind = FOLDER
        if kind == HARD_LINK:
            target = b"/".join(inside(target, f"hard link {show(name)} to"))
        if not parts and kind != FOLDER:
            what = "a symbolic link" if kind == SYMBOLIC_LINK else "what is no folder"
            raise Refused(f"it replaces the root by {what}")
        entry = Entry(
            kind=REGULAR if kind in _REGULAR_KINDS else kind,
            parts=parts,
            target=target,
            mode=_number(header[100:108]) & 0o7777,
            uid=self._id(b"uid", header[108:116]),
            gid=self._id(b"gid", header[116:124]),
            mtime_ns=_nanoseconds(told.get(b"mtime"), header[136:148]),
        )
        if told:
            entry.xattrs = {key[len(_XATTR) :]: value for key, value in told.items() if key.startswith(_XATTR)}
        self._measure(entry, kind, header)
        return entry

    def _measure(self, entry: Entry, kind: bytes, header: bytes) -> None:
        """Fill in what kinds differ in, and count."""
        if kind in (CHARACTER, BLOCK):
            entry.device = _number(header[329:337]), _number(header[337:345])
        elif kind in _REGULAR_KINDS:
            entry.size = _size(self._next.get(b"size"), header[124:136])
            if kind == b"S":
                entry.sparse = old_map(header, self._plain.read, _number)
            elif self._next:
                found = pax_map(self._next, entry.size, self._plain.read)
                if found is not None:
                    entry.sparse, entry.size = found
            if entry.sparse is not None and sum(length for _, length in entry.sparse.pieces) != entry.size:
                raise Refused("a malformed map of a sparse file")
        elif kind not in _DATALESS:
            raise Refused(f"an entry of type {show(kind)}, which is unknown")
        if kind != HARD_LINK:
            self._inodes += 1
            self._bytes += -(-entry.size // _INODE_BYTES) * _INODE_BYTES + (_INODE_BYTES if kind == FOLDER else 0)

    def _special(self, kind: bytes, header: bytes) -> None:
        size = _size(None, header[124:136])
        if size > _MAX_SPECIAL_BYTES:
            raise Refused(f"a header of {size} bytes")
        data = self._plain.read(-(-size // _BLOCK) * _BLOCK)[:size]
        if kind == b"L":
            self._next[b"path"] = data.rstrip(b"\0")
        elif kind == b"K":
            self._next[b"linkpath"] = data.rstrip(b"\0")
        elif kind == b"x":
            self._pax(data)

    def _pax(self, data: bytes) -> None:
        while data:
            length, space, _ = data.partition(b" ")
            if not space or not length.isdigit() or len(length) > 8:
                raise Refused("a malformed pax header")
            end = int(length)
            key, equals, value = data[len(length) + 1 : end - 1].partition(b"=")
            if not equals or end > len(data) or data[end - 1 : end] != b"\n":
                raise Refused("a malformed pax header")
            if key.startswith((_XATTR, b"LIBARCHIVE.xattr.")):
                check_xattr(key)
            if key in PIECE_KEYS:
                key, value = MAP, self._next.get(MAP, b"") + value + b","
            self._next[b"path" if key == b"GNU.sparse.name" else key] = value
            data = data[end:]

    def _id(self, key: bytes, octal: bytes) -> int:
        value = _size(self._next.get(key) or None, octal)
        if value > _LARGEST_ID:
            raise Refused(f"an owner that cannot be: {value}")
        return value


def _names(header: bytes) -> tuple[bytes, bytes]:
    name = header[:100].split(b"\0", 1)[0]
    if header[345] and header[257:263] == b"ustar\0":
        prefix = header[345 : 476 if header[508:512] == b"tar\0" else 500].split(b"\0", 1)[0]
        name = prefix + b"/" + name
    return name, header[157:257].split(b"\0", 1)[0]


def _size(decimal: bytes | None, octal: bytes) -> int:
    """Of a pax record where there is one, else of the header."""
    if decimal is None:
        return _number(octal)
    if not decimal.isdigit() or len(decimal) > 18:
        raise Refused(f"a malformed size: {show(decimal)}")
    return int(decimal)


def _number(octal: bytes) -> int:
    """A header's field: octal, or base 256 when its first bit says so."""
    if octal[0] & 0x80:
        value = int.from_bytes(bytes([octal[0] & 0x7F]) + octal[1:], "big")
    else:
        text = octal.strip(b" \0") or b"0"
        try:
            value = int(text, 8) if text.isdigit() else -1
        except ValueError:
            value = -1
        if value < 0:
            raise Refused("it is not a tar archive, or a damaged one")
    if value >= 2**62:
        raise Refused("a malformed size")
    return value


def _nanoseconds(decimal: bytes | None, octal: bytes) -> int:
    """A time of modification; one that no file system keeps is the epoch."""
    if not decimal:
        seconds = 0 if octal[0] & 0x80 else _number(octal)  # base 256 here: before the epoch, or after its end
        return seconds * 10**9 if seconds < _LATEST_SECOND else 0
    whole, _, fraction = decimal.partition(b".")
    if not whole.lstrip(b"-").isdigit() or len(whole) > 18 or (fraction and not fraction.isdigit()):
        raise Refused(f"a malformed time: {show(decimal)}")
    seconds = int(whole)
    return seconds * 10**9 + int(fraction[:9].ljust(9, b"0")) if 0 <= seconds < _LATEST_SECOND else 0
