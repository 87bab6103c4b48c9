"""Header blocks: name/value pairs, compressed with one zlib context per direction.

Source: docs/facts/api-client-and-server.md M.3, M.4.
"""

import struct
import zlib
from collections.abc import Mapping

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_ENTRIES = (*_WORDS.split(), "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack("!I", len(word)) + word.encode() for word in _ENTRIES) + _TEXT.encode()
DICTIONARY_CHECKSUM = 0xE3C6A7C2
if zlib.adler32(DICTIONARY) != DICTIONARY_CHECKSUM:
    raise AssertionError("the SPDY dictionary is not the standard one")

MAX_PAIRS = 1000
MAX_BLOCK_BYTES = 4 * 1024 * 1024  # of all pairs together, inflated


class BadHeaders(Exception):
    """A header block that cannot be decoded: the connection's context is lost with it."""


class Deflater:
    """Makes blocks, in the order in which they are sent."""

    def __init__(self) -> None:
        self._context = zlib.compressobj(9, zlib.DEFLATED, 15, 9, 0, zdict=DICTIONARY)

    def block(self, pairs: Mapping[str, str]) -> bytes:
        plain = bytearray(struct.pack("!I", len(pairs)))
        for name, value in pairs.items():
            for text in (name.lower().encode(), value.encode()):
                plain += struct.pack("!I", len(text)) + text
        return self._context.compress(bytes(plain)) + self._context.flush(zlib.Z_SYNC_FLUSH)


class Inflater:
    """Reads blocks, in the order in which they came: also those of streams that are refused."""

    def __init__(self) -> None:
        self._context = zlib.decompressobj(15, zdict=DICTIONARY)

    def pairs(self, block: bytes) -> dict[str, str]:
        """Lower-case names; several values of a name are joined by NUL. Raises BadHeaders."""
        try:
            plain = self._context.decompress(block, MAX_BLOCK_BYTES)
        except zlib.error as error:
            raise BadHeaders(f"header block: {error}") from error
        if self._context.unconsumed_tail:
            raise BadHeaders("header block is too large")
        return _decode(plain)


def _decode(plain: bytes) -> dict[str, str]:
    pairs: dict[str, str] = {}
    try:
        (count,) = struct.unpack_from("!I", plain)
        if count > MAX_PAIRS:
            raise BadHeaders(f"{count} headers in a block")
        at = 4
        for _ in range(count):
            name, at = _text(plain, at)
            value, at = _text(plain, at)
            if not name or name != name.lower() or name in pairs:
                raise BadHeaders(f"header name {name!r}")
            pairs[name] = value
    except struct.error as error:
        raise BadHeaders("header block is cut short") from error
    if at != len(plain):
        raise BadHeaders("bytes after the last header of a block")
    return pairs


def _text(plain: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("!I", plain, at)
    end = at + 4 + length
    if end > len(plain):
        raise BadHeaders("header block is cut short")
    return plain[at + 4 : end].decode("latin-1"), end
