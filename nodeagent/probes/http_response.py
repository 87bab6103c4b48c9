"""Reading an HTTP/1.x answer from bytes as they come, without any I/O. Source: RFC 9112 sections 4 to 7."""

from dataclasses import dataclass

MAX_HEAD_BYTES = 64 * 1024


class ResponseError(Exception):
    """What came is not an HTTP answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    status: int
    location: str
    body: bytes


@dataclass(slots=True)
class _Head:
    status: int
    location: str = ""
    content_length: int | None = None
    chunked: bool = False


class ResponseReader:
    """Takes bytes until the answer is complete, or as much of its body as is wanted is there."""

    def __init__(self, *, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._data = bytearray()
        self._head: _Head | None = None

    @property
    def in_body(self) -> bool:
        return self._head is not None

    def feed(self, data: bytes) -> Response | None:
        """The answer, once it is complete. Raises ResponseError."""
        self._data += data
        while self._head is None:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                if len(self._data) > MAX_HEAD_BYTES:
                    raise ResponseError(f"server response headers exceeded {MAX_HEAD_BYTES} bytes; aborted")
                return None
            head = _parse_head(bytes(self._data[:end]))
            del self._data[: end + 4]
            if head.status >= 200:  # what came before it was only an interim answer
                self._head = head
        return self._complete(self._head)

    def end(self) -> Response | None:
        """The connection was closed: the answer, if that is what ends it."""
        head = self._head
        if head is None or head.chunked or head.content_length is not None:
            return None
        return self._response(head, bytes(self._data))

    def _complete(self, head: _Head) -> Response | None:
        if head.status in (204, 304):
            return self._response(head, b"")
        if head.chunked:
            body, complete = _dechunk(self._data, self._max_body_bytes)
            return self._response(head, body) if complete else None
        wanted = self._max_body_bytes
        if head.content_length is not None:
            wanted = min(wanted, head.content_length)
        return self._response(head, bytes(self._data)) if len(self._data) >= wanted else None

    def _response(self, head: _Head, body: bytes) -> Response:
        return Response(status=head.status, location=head.location, body=body[: self._max_body_bytes])


def _parse_head(raw: bytes) -> _Head:
    lines = raw.split(b"\r\n")
    version, _, rest = lines[0].partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/") or len(code) != 3 or not code.isdigit():
        raise ResponseError(f"malformed HTTP response {lines[0][:64].decode('latin-1')!r}")
    head = _Head(status=int(code))
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        match name.strip().lower():
            case b"content-length":
                if not value.strip().isdigit():
                    raise ResponseError(f"bad Content-Length {value.strip().decode('latin-1')!r}")
                head.content_length = int(value)
            case b"transfer-encoding":
                head.chunked = b"chunked" in value.lower()
            case b"location":
                head.location = value.strip().decode(errors="surrogateescape")
    return head


def _dechunk(data: bytearray, limit: int) -> tuple[bytes, bool]:
    """(body so far, whether it is complete or enough)."""
    body = bytearray()
    position = 0
    while True:
        line_end = data.find(b"\r\n", position)
        if line_end < 0:
            return bytes(body), False
        size_text = bytes(data[position:line_end]).partition(b";")[0].strip()
        try:
            size = int(size_text, 16)
        except ValueError:
            raise ResponseError("invalid byte in chunk length") from None
        if size == 0:
            return bytes(body), True
        body += data[line_end + 2 : line_end + 2 + size]
        if len(body) >= limit:
            return bytes(body), True
        position = line_end + 2 + size + 2
        if position > len(data):
            return bytes(body), False
