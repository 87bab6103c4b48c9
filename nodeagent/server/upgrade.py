"""The upgrade of an HTTP request to SPDY/3.1 (docs/facts/api-client-and-server.md M.1)."""

from collections.abc import Sequence

from aiohttp import web

from nodeagent.server.wire import RawWire, take_over

_PROTOCOL_HEADER = "X-Stream-Protocol-Version"
_ACCEPTED_HEADER = "X-Accepted-Stream-Protocol-Versions"


class Refused(Exception):
    """The upgrade is not possible; `response` says why."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.text)
        self.response = response


def negotiate(request: web.Request, known: Sequence[str]) -> str:
    """The first protocol of the client's that is known. Raises Refused."""
    headers = request.headers
    if "upgrade" not in headers.get("Connection", "").lower() or "spdy/3.1" not in headers.get("Upgrade", "").lower():
        raise _refused(400, f"missing upgrade headers in request: {dict(headers)}")
    names = [name.strip() for value in headers.getall(_PROTOCOL_HEADER, []) for name in value.split(",")]
    if not names:
        count = len(headers)
        raise _refused(400, f"header {_PROTOCOL_HEADER} does not exist in request with {count} headers")
    for name in names:
        if name in known:
            return name
    refused = _refused(
        403,
        f"unable to negotiate protocol: client supports [{' '.join(names)}], server accepts [{' '.join(known)}]",
    )
    for name in known:
        refused.response.headers.add(_ACCEPTED_HEADER, name)
    raise refused


def upgrade(request: web.Request, protocol: str) -> RawWire:
    """Answer 101 and take the connection. Raises ConnectionResetError."""
    wire = take_over(request)
    wire.write(
        "HTTP/1.1 101 Switching Protocols\r\n"
        "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        f"{_PROTOCOL_HEADER}: {protocol}\r\n\r\n".encode()
    )
    return wire


def _refused(status: int, text: str) -> Refused:
    return Refused(web.Response(status=status, text=f"unable to upgrade: {text}"))
