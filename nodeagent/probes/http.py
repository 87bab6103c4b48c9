"""The httpGet probe: one GET over a connection of its own.

Source: facts/pod-lifecycle.md 7.3. Written on bare asyncio protocols, because a node runs hundreds of these every second; it
reads no more of an answer than a probe needs.
"""

import asyncio
import functools
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, urljoin, urlsplit

from typing_extensions import override

from nodeagent.probes.http_response import Response, ResponseError, ResponseReader
from nodeagent.probes.outcome import (
    MAX_OUTPUT_BYTES,
    USER_AGENT,
    Outcome,
    ProbeError,
    address,
    dial_error,
    error_text,
    failure,
    success,
    warning,
)

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TIMED_OUT = "(Client.Timeout exceeded while awaiting headers)"


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPTarget:
    """Where and what to ask. `path` may carry a query; `headers` in the order they are sent."""

    host: str
    port: int
    path: str = "/"
    scheme: str = "http"
    headers: Sequence[tuple[str, str]] = field(default=())

    @property
    def url(self) -> str:
        path = self.path if self.path.startswith("/") else f"/{self.path}"
        return f"{self.scheme}://{address(self.host, self.port)}{path}"


async def probe_http(target: HTTPTarget, *, timeout_seconds: float) -> Outcome:
    """GET the target; redirects are followed while the host name stays. Raises ProbeError."""
    first = target
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    try:
        for _ in range(MAX_REDIRECTS):
            response = await _get(target, deadline)
            follow = _redirect(first, target, response)
            if follow is None:
                return _judge(response)
            target = follow
    except _TransportError as error:
        return failure(f'Get "{target.url}": {error}')
    return failure(f'Get "{target.url}": stopped after {MAX_REDIRECTS} redirects')


def request_bytes(target: HTTPTarget) -> bytes:
    """The request as it goes over the wire."""
    url = urlsplit(target.url)
    path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    given = {name.lower(): value for name, value in target.headers}
    lines = [f"GET {path} HTTP/1.1", f"Host: {given.get('host') or address(target.host, target.port)}"]
    for name, default in (("User-Agent", USER_AGENT), ("Accept", "*/*")):
        if name.lower() not in given:
            lines.append(f"{name}: {default}")
    lines += [
        f"{name}: {value}"
        for name, value in target.headers
        # an empty value takes the default header away
        if name.lower() != "host" and (value or name.lower() not in ("user-agent", "accept"))
    ]
    lines.append("Connection: close")
    text = "\r\n".join(lines) + "\r\n\r\n"
    return text.encode("utf-8", errors="replace")


class _TransportError(Exception):
    """The request did not get an answer: a failure of the container, not of the probe."""


async def _get(target: HTTPTarget, deadline: float) -> Response:
    """One request and its answer. `deadline` is a time of the loop's clock."""
    loop = asyncio.get_running_loop()
    exchange = _Exchange(loop)
    tls = _tls() if target.scheme == "https" else None
    name = _server_name(target.host) if tls is not None else None
    try:
        async with asyncio.timeout_at(deadline):
            transport, _ = await loop.create_connection(
                lambda: exchange, target.host, target.port, ssl=tls, server_hostname=name
            )
    except TimeoutError as error:
        raise _TransportError(f"{dial_error(target.host, target.port, None)} {_TIMED_OUT}") from error
    except ssl.SSLError as error:
        raise _TransportError(f"tls: {error.reason or error}") from error
    except OSError as error:
        raise _TransportError(dial_error(target.host, target.port, error)) from error
    try:
        transport.write(request_bytes(target))
        async with asyncio.timeout_at(deadline):
            return await exchange.done
    except TimeoutError as error:
        if exchange.in_body:
            raise ProbeError("context deadline exceeded while reading body") from error
        raise _TransportError(f"context deadline exceeded {_TIMED_OUT}") from error
    finally:
        transport.abort()


def _redirect(first: HTTPTarget, current: HTTPTarget, response: Response) -> HTTPTarget | None:
    """The next target of a redirect to the same host name; None: this answer is the last one."""
    if response.status not in _REDIRECTS or not response.location:
        return None
    try:
        url: SplitResult = urlsplit(urljoin(current.url, response.location))
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError as error:
        raise _TransportError(f'failed to parse Location header "{response.location}": {error}') from error
    if (url.hostname or "").lower() != first.host.lower() or url.scheme not in ("http", "https"):
        return None
    path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    # a Host header was for the first request; the next one names its own host
    headers = [item for item in current.headers if item[0].lower() != "host"]
    return replace(current, port=port, path=path, scheme=url.scheme, headers=headers)


def _judge(response: Response) -> Outcome:
    if 200 <= response.status < 300:
        return success()
    if 300 <= response.status < 400:
        return warning(f"Probe terminated redirects, Response body: {response.body.decode(errors='replace')}")
    return failure(f"HTTP probe failed with statuscode: {response.status}")


class _Exchange(asyncio.Protocol):
    """Takes in the answer to one request; `done` has it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._reader = ResponseReader(max_body_bytes=MAX_OUTPUT_BYTES)
        self.done: asyncio.Future[Response] = loop.create_future()

    @property
    def in_body(self) -> bool:
        return self._reader.in_body

    @override
    def data_received(self, data: bytes) -> None:
        if self.done.done():
            return
        try:
            response = self._reader.feed(data)
        except ResponseError as error:
            self.done.set_exception(_TransportError(f"net/http: HTTP/1.x transport connection broken: {error}"))
            return
        if response is not None:
            self.done.set_result(response)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.done.done():
            return
        response = self._reader.end() if exc is None else None
        if response is not None:
            self.done.set_result(response)
        elif self._reader.in_body:
            self.done.set_exception(ProbeError("unexpected EOF"))
        elif isinstance(exc, OSError):
            self.done.set_exception(_TransportError(f"read: {error_text(exc)}"))
        else:
            self.done.set_exception(_TransportError("EOF"))


@functools.cache
def _tls() -> ssl.SSLContext:
    """Certificates of containers are not verified, however weak."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.set_alpn_protocols(["http/1.1"])
    return context


def _server_name(host: str) -> str:
    """The name for TLS server name indication; an address is none."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return ""
