"""Read a layer's tar before it is trusted: is it whole, is it the layer it says it is, does it keep inside its root?

`umoci` keeps every entry inside the root by resolving it there, which hides an attack instead of refusing it. The audit
refuses: names and hard link targets that climb above the root, whiteouts of "." and "..", overlay control attributes, and
headers that no packer writes. It also counts what the layer will take. Memory is bounded whatever the layer says.

Source: POSIX pax interchange format, GNU tar's extensions, OCI image layers (whiteouts `.wh.name`, `.wh..wh..opq`).
"""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtimes.errors import InvalidArgument
from runtimes.oci.images.decompression import DamagedStream, PlainStream
from runtimes.oci.images.feed import Sink

_BLOCK = 512
_MAX_SPECIAL_BYTES = 1024 * 1024  # pax headers and long names; the limit of Go's archive/tar
_MAX_NAME_BYTES = 255
_INODE_BYTES = 4096
_ZERO = bytes(_BLOCK)
# What overlayfs would act on in a lower layer: showing another path's content under a name.
_REFUSED_XATTRS = (b"trusted.overlay.redirect", b"trusted.overlay.metacopy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer on disk, plain or compressed. `diff_id` is the digest of its plain tar.

    `pipe`: a named pipe that somebody reads the plain tar from while it is audited; `plain_bytes` its expected length.
    """

    path: Path
    digest: str
    diff_id: str
    pipe: Path | None = None
    plain_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What unpacked layers take at most: files that a higher layer replaces are counted twice."""

    bytes: int = 0
    inodes: int = 0


def audit(layers: Sequence[Layer], stop: threading.Event) -> Usage:
    """Check layers, lowest first. Blocks; ends early, with nonsense, when `stop` is set. Raises InvalidArgument."""
    total_bytes = total_inodes = 0
    for layer in layers:
        if stop.is_set():
            break
        try:
            usage = _Audit(layer, stop).run()
        except (DamagedStream, EOFError) as error:
            raise InvalidArgument(f"layer {layer.digest} is damaged: {error}") from None
        total_bytes += usage.bytes
        total_inodes += usage.inodes
    return Usage(bytes=total_bytes, inodes=total_inodes)


class _Plain:
    """A layer's plain bytes, read once from front to end, hashed on the way, and passed on when they have been looked at."""

    def __init__(self, layer: Layer, stop: threading.Event) -> None:
        self._stop = stop
        self._stream = PlainStream(layer.path)
        self._pending = b""
        self._offset = 0
        self._hasher = hashlib.new(layer.diff_id.partition(":")[0])
        self._seen = b""  # the last chunk: what follows it is asked for when it has been looked at
        self._sink = Sink(layer.pipe) if layer.pipe is not None else None

    def close(self) -> None:
        self._stream.close()
        if self._sink is not None:
            self._sink.close()

    def digest(self) -> str:
        """The digest of everything; reads what is left."""
        while self._chunk():
            pass
        return f"{self._hasher.name}:{self._hasher.hexdigest()}"

    def read(self, size: int) -> bytes:
        while len(self._pending) - self._offset < size:
            chunk = self._chunk()
            if not chunk:
                raise EOFError("it ends in the middle")
            self._pending, self._offset = self._pending[self._offset :] + chunk, 0
        self._offset += size
        return self._pending[self._offset - size : self._offset]

    def skip(self, size: int) -> None:
        while size > len(self._pending) - self._offset:
            size -= len(self._pending) - self._offset
            self._pending, self._offset = self._chunk(), 0
            if not self._pending:
                raise EOFError("it ends in the middle")
        self._offset += size

    def at_end(self) -> bool:
        if self._offset == len(self._pending):
            self._pending, self._offset = self._chunk(), 0
        return not self._pending

    def _chunk(self) -> bytes:
        if self._sink is not None:
            self._sink.write(self._seen)
        if self._stop.is_set():
            return b""
        chunk = self._seen = self._stream.read()
        self._hasher.update(chunk)
        return chunk


class _Audit:
    """One pass over one layer."""

    def __init__(self, layer: Layer, stop: threading.Event) -> None:
        self._layer = layer
        self._stop = stop
        self._bytes = 0
        self._inodes = 0
        self._next: dict[bytes, bytes] = {}  # what a pax or GNU header says of the entry that follows

    def run(self) -> Usage:
        plain = _Plain(self._layer, self._stop)
        try:
            while not self._stop.is_set() and not plain.at_end():
                header = plain.read(_BLOCK)
                if header == _ZERO:
                    if not plain.at_end() and plain.read(_BLOCK) != _ZERO:
                        raise self._refuse("a header after the end")
                    break
                self._entry(header, plain)
            if not self._stop.is_set() and plain.digest() != self._layer.diff_id:
                raise self._refuse(f"its content is not {self._layer.diff_id}, which the image configuration promises")
        finally:
            plain.close()
        return Usage(bytes=self._bytes, inodes=self._inodes)

    def _entry(self, header: bytes, plain: _Plain) -> None:
        self._check_sum(header)
        kind = header[156:157]
        if kind in b"xgLK":
            self._special(kind, header, plain)
            return
        name, target = self._names(header)
        self._check_name(name)
        if kind == b"1":
            self._check_inside(target, f"hard link {_show(name)} to")
        if kind == b"2" and not _parts(name):
            raise self._refuse("it replaces the root by a symbolic link")
        size = 0
        if kind not in b"123456":
            size = self._number(self._next.get(b"size"), header[124:136])
            if kind == b"S":
                self._skip_sparse_map(header, plain)
        if kind != b"1":
            self._inodes += 1
            self._bytes += -(-size // _INODE_BYTES) * _INODE_BYTES + (_INODE_BYTES if kind == b"5" else 0)
        self._next = {}
        plain.skip(-(-size // _BLOCK) * _BLOCK)

    def _special(self, kind: bytes, header: bytes, plain: _Plain) -> None:
        size = self._number(None, header[124:136])
        if size > _MAX_SPECIAL_BYTES:
            raise self._refuse(f"a header of {size} bytes")
        data = plain.read(-(-size // _BLOCK) * _BLOCK)[:size]
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
                raise self._refuse("a malformed pax header")
            end = int(length)
            key, equals, value = data[len(length) + 1 : end - 1].partition(b"=")
            if not equals or end > len(data) or data[end - 1 : end] != b"\n":
                raise self._refuse("a malformed pax header")
            if key.startswith((b"SCHILY.xattr.", b"LIBARCHIVE.xattr.")) and key.endswith(_REFUSED_XATTRS):
                raise self._refuse(f"extended attribute {_show(key)}")
            self._next[b"path" if key == b"GNU.sparse.name" else key] = value
            data = data[end:]

    def _names(self, header: bytes) -> tuple[bytes, bytes]:
        name = header[:100].split(b"\0")[0]
        prefix = header[345:500].split(b"\0")[0]
        if header[257:263] == b"ustar\0" and prefix:
            name = prefix + b"/" + name
        target = header[157:257].split(b"\0")[0]
        return self._next.get(b"path") or name, self._next.get(b"linkpath") or target

    def _skip_sparse_map(self, header: bytes, plain: _Plain) -> None:
        more = header[482:483] not in (b"\0", b"")
        while more:
            more = plain.read(_BLOCK)[504:505] != b"\0"

    def _check_name(self, name: bytes) -> None:
        if b"\0" in name:
            raise self._refuse(f"a name with a zero byte: {_show(name)}")
        self._check_inside(name, "entry")
        parts = _parts(name)
        for part in parts:
            if len(part) > _MAX_NAME_BYTES:
                raise self._refuse(f"a name of {len(part)} bytes, of which {_MAX_NAME_BYTES} are possible")
        if parts and parts[-1].startswith(b".wh.") and parts[-1][4:] in (b"", b".", b".."):
            raise self._refuse(f"a whiteout of a folder itself: {_show(name)}")

    def _check_inside(self, name: bytes, what: str) -> None:
        depth = 0
        for part in _parts(name):
            depth += -1 if part == b".." else 1
            if depth < 0:
                raise self._refuse(f"{what} {_show(name)} leads out of the image's root")

    def _check_sum(self, header: bytes) -> None:
        wanted = self._number(None, header[148:156])
        if sum(header) - sum(header[148:156]) + 8 * 32 != wanted:
            raise self._refuse("it is not a tar archive, or a damaged one")

    def _number(self, decimal: bytes | None, field: bytes) -> int:
        if decimal is not None:
            if not decimal.isdigit() or len(decimal) > 18:
                raise self._refuse(f"a malformed size: {_show(decimal)}")
            return int(decimal)
        if field[0] & 0x80:
            value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        else:
            text = field.strip(b" \0") or b"0"
            if not all(c in b"01234567" for c in text):
                raise self._refuse("it is not a tar archive, or a damaged one")
            value = int(text, 8)
        if value >= 2**62:
            raise self._refuse("a malformed size")
        return value

    def _refuse(self, why: str) -> InvalidArgument:
        return InvalidArgument(f"layer {self._layer.digest} is refused: {why}")


def _parts(name: bytes) -> list[bytes]:
    return [part for part in name.split(b"/") if part not in (b"", b".")]


def _show(name: bytes) -> str:
    return repr(name[:300].decode(errors="backslashreplace"))
