"""Reading an HTTP/1.x answer from bytes as they come, without any I/O. Source: RFC 9112 sections 4 to 7."""

from dataclasses import dataclass

from runtimes.kube.whole_number import whole_number

MAX_HEAD_BYTES = 64 * 1024

# as Go's reader has them: of the line before a chunk, and of all that is no content beyond twice that
_MAX_CHUNK_LINE_BYTES = 4096
_MAX_OVERHEAD_BYTES = 16 * 1024


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
        self._chunks = _Chunks(max_body_bytes)

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
            return self._response(head, bytes(self._chunks.body)) if self._chunks.take(self._data) else None
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
                head.content_length = whole_number(value.strip())
                if head.content_length is None:
                    raise ResponseError(f"bad Content-Length {value.strip()[:64].decode('latin-1')!r}")
            case b"transfer-encoding":
                head.chunked = b"chunked" in value.lower()
            case b"location":
                head.location = value.strip().decode(errors="surrogateescape")
    return head


class _Chunks:
    """A chunked body, decoded as it comes: what has been looked at is not looked at again."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._missing = 0  # of the chunk that has begun, with the end of line behind it
        self._overhead = 0
        self.body = bytearray()

    def take(self, data: bytearray) -> bool:
        """Consume what `data` holds; whether the body is complete, or enough. Raises ResponseError."""
        while len(self.body) < self._limit:
            if self._missing:
                self.body += data[: max(self._missing - 2, 0)]
                taken = min(len(data), self._missing)
                self._missing -= taken
                del data[:taken]
                if self._missing:
                    return len(self.body) >= self._limit
                continue
            end = data.find(b"\r\n", 0, _MAX_CHUNK_LINE_BYTES)
            if end < 0:
                if len(data) >= _MAX_CHUNK_LINE_BYTES:
                    raise ResponseError("header line too long")
                return False
            size = whole_number(bytes(data[:end]).partition(b";")[0].strip(), 16)
            if size is None:
                raise ResponseError("invalid byte in chunk length")
            if size == 0:
                return True
            self._overhead += end + 4
            if self._overhead > _MAX_OVERHEAD_BYTES + 2 * len(self.body):
                raise ResponseError("chunked encoding contains too much non-data")
            del data[: end + 2]
            self._missing = size + 2
        return True
