"""The httpGet probe: one GET over a connection of its own; hooks ask in the same way.

Source: facts/pod-lifecycle.md 7.3. Written on bare asyncio protocols, because a node runs hundreds of these every second; it
reads no more of an answer than a probe needs.
"""

import asyncio
import functools
import ipaddress
import ssl

from typing_extensions import override

from nodeagent.probes.http_request import HTTPRequest, HTTPTarget, RequestError
from nodeagent.probes.http_response import Response, ResponseError, ResponseReader
from nodeagent.probes.outcome import (
    MAX_OUTPUT_BYTES,
    Outcome,
    ProbeError,
    dial_error,
    error_text,
    failure,
    success,
    warning,
)
from nodeagent.probes.url import URLError
from runtimes.kube.go_quote import go_quote

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TIMED_OUT = "(Client.Timeout exceeded while awaiting headers)"
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
_PORTS = {"http": 80, "https": 443}


class TransportError(Exception):
    """The request did not get an answer: a failure of the container, not of the probe. The text names the URL."""


class PlainAnswer(TransportError):
    """The server does not speak TLS."""


async def probe_http(target: HTTPTarget, *, timeout_seconds: float) -> Outcome:
    """GET the target; redirects are followed while the host name stays. Raises ProbeError."""
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    try:
        return _judge(await fetch(target.request(), deadline))
    except URLError as error:
        raise ProbeError(str(error)) from error
    except TransportError as error:
        return failure(str(error))


async def fetch(request: HTTPRequest, deadline: float | None) -> Response:
    """The answer to a request, after redirects that stay on its host.

    `deadline` is a time of the loop's clock; None: as long as it takes. Raises TransportError, ProbeError for an answer that
    breaks off in its body.
    """
    first = request
    for _ in range(MAX_REDIRECTS):
        try:
            response = await _get(request, deadline)
            follow = _redirect(first, request, response)
        except _Failed as error:
            kind = PlainAnswer if isinstance(error, _NoTLS) else TransportError
            raise kind(f"Get {go_quote(request.url.redacted)}: {error}") from error
        if follow is None:
            return response
        asked, request = request, follow
    raise TransportError(f"Get {go_quote(asked.url.redacted)}: stopped after {MAX_REDIRECTS} redirects")


class _Failed(Exception):
    """What went wrong with one request."""


class _NoTLS(_Failed):
    pass


async def _get(request: HTTPRequest, deadline: float | None) -> Response:
    """One request and its answer."""
    try:
        raw = request.encode()
    except RequestError as error:
        raise _Failed(str(error)) from error
    loop = asyncio.get_running_loop()
    exchange = _Exchange(loop)
    url = request.url
    host, port = url.hostname, url.port or _PORTS[url.scheme]
    tls = _tls() if url.scheme == "https" else None
    name = _server_name(host) if tls is not None else None
    try:
        async with asyncio.timeout_at(deadline):
            transport, _ = await loop.create_connection(lambda: exchange, host, port, ssl=tls, server_hostname=name)
    except TimeoutError as error:
        raise _Failed(f"{dial_error(host, port, None)} {_TIMED_OUT}") from error
    except ssl.SSLError as error:
        if error.reason in _NOT_TLS:
            raise _NoTLS("http: server gave HTTP response to HTTPS client") from error
        raise _Failed(f"tls: {error.reason or error}") from error
    except UnicodeError as error:  # a name that no resolver takes
        raise _Failed(f"dial tcp: lookup {host}: no such host") from error
    except OSError as error:
        raise _Failed(dial_error(host, port, error)) from error
    try:
        transport.write(raw)
        async with asyncio.timeout_at(deadline):
            return await exchange.done
    except TimeoutError as error:
        if exchange.in_body:
            raise ProbeError("context deadline exceeded while reading body") from error
        raise _Failed(f"context deadline exceeded {_TIMED_OUT}") from error
    finally:
        transport.abort()


def _redirect(first: HTTPRequest, current: HTTPRequest, response: Response) -> HTTPRequest | None:
    """The next request of a redirect to the same host name; None: this answer is the last one."""
    if response.status not in _REDIRECTS or not response.location:
        return None
    try:
        following = current.redirected(response.location)
    except URLError as error:
        raise _Failed(f"failed to parse Location header {go_quote(response.location)}: {error}") from error
    return following if following.url.hostname == first.url.hostname else None


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
            self.done.set_exception(_Failed(f"net/http: HTTP/1.x transport connection broken: {error}"))
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
            self.done.set_exception(_Failed(f"read: {error_text(exc)}"))
        else:
            self.done.set_exception(_Failed("EOF"))


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
