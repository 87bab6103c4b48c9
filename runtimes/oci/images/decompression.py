"""Files that may be compressed, read as what they are compressed from: gzip, zstd, bzip2 and xz, told by their first bytes.

Memory is bounded whatever the file says: a piece is at most CHUNK_BYTES, and zstd's window is limited to 128 MiB (as in its
own program).
"""

import bz2
import lzma
import zlib
from typing import IO, TYPE_CHECKING, Protocol

import zstandard
from typing_extensions import override

if TYPE_CHECKING:
    import zlib as inflating
else:
    try:
        from isal import isal_zlib as inflating  # the same in half of the time
    except ImportError:  # not for this processor
        import zlib as inflating

CHUNK_BYTES = 1024 * 1024
MAGIC_BYTES = 6
_COMPRESSED_CHUNK_BYTES = CHUNK_BYTES // 4


class DamagedStream(ValueError):
    """The compressed data is no such data, or ends in the middle."""


def compression_of(magic: bytes) -> str:
    """The name of the compression of a file that begins so; empty: none."""
    if magic.startswith(b"\x1f\x8b"):
        return "gzip"
    # A zstd file may begin with a frame that is to be skipped: parallel compressors put their lengths there.
    if magic.startswith(b"\x28\xb5\x2f\xfd") or (magic[1:4] == b"\x2a\x4d\x18" and magic[0] & 0xF0 == 0x50):
        return "zstd"
    if magic.startswith(b"BZh"):
        return "bzip2"
    return "xz" if magic.startswith(b"\xfd7zXZ\0") else ""


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


class PlainStream:
    """A file's plain bytes, from front to end.

    The end of a zstd file that was cut is like any end: whoever reads it knows by a digest, or by the format, what is whole.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """`file` is best unbuffered, and stays its owner's."""
        self._reader = _reader(file)

    def read(self) -> bytes:
        """The next piece, at most CHUNK_BYTES; empty at the end. Blocks. Raises DamagedStream, OSError."""
        try:
            return self._reader.read(CHUNK_BYTES)
        except (zlib.error, inflating.error, zstandard.ZstdError, lzma.LZMAError, EOFError) as error:
            raise DamagedStream(str(error)) from None


def _reader(file: IO[bytes]) -> _Reader:
    compression = compression_of(file.read(MAGIC_BYTES))
    file.seek(0)
    match compression:
        case "gzip":
            return _Inflating(file)
        case "zstd":
            # Files are made of several frames: parallel compressors', and zstd:chunked with its table at the end.
            return zstandard.ZstdDecompressor().stream_reader(
                file, read_size=_COMPRESSED_CHUNK_BYTES, read_across_frames=True, closefd=False
            )
        case "bzip2":
            return _BZ2(file)
        case "xz":
            return lzma.LZMAFile(file)
    return file


class _BZ2(bz2.BZ2File):
    """bz2 tells damage by an OSError without a number, which must not be taken for the disk's."""

    @override
    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(-1 if size is None else size)
        except OSError as error:
            if error.errno is not None:
                raise
            raise EOFError(str(error)) from None


class _Inflating:
    """gzip by hand: the standard library's reader buffers what we have no use for and is half as fast."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._inflate = inflating.decompressobj(wbits=31)

    def read(self, size: int, /) -> bytes:
        while True:
            compressed = self._inflate.unconsumed_tail or self._file.read(_COMPRESSED_CHUNK_BYTES)
            if self._inflate.eof:  # gzip files may be made of several members
                compressed = self._inflate.unused_data or compressed
                if not compressed.rstrip(b"\0"):
                    return b""
                self._inflate = inflating.decompressobj(wbits=31)
            chunk = self._inflate.decompress(compressed, size)
            if chunk:
                return chunk
            if not compressed and not self._inflate.eof:
                raise EOFError("the compressed data ends in the middle")
