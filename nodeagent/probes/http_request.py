"""An HTTP request of a probe or a hook as bytes: what is in the specification, in the way that Go's HTTP client writes it.

Source: facts/pod-lifecycle.md 7.3 and 8; RFC 9110 section 5.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nodeagent.probes.outcome import USER_AGENT
from nodeagent.probes.url import URL, encoded, parse, request_url, resolve
from runtimes.kube.go_quote import go_quote

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOST_HEADER = re.compile(r"[A-Za-z0-9!$%&()*+,\-.:;=\['\]_~]*")
_ZONE = re.compile(r"%[^\]]*(?=\])")
# the client writes these by itself, whatever the specification says
_OWN = frozenset(["Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer"])


class RequestError(Exception):
    """The request cannot be sent. Known when it is to be sent, so to the specification's author it is a failed answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPTarget:
    """Where and what to ask, as the specification has it. `path` may carry a query; `headers` in the specification's order."""

    host: str
    port: int
    path: str = "/"
    scheme: str = "http"
    headers: Sequence[tuple[str, str]] = field(default=())
    user_agent: str = USER_AGENT
    compression: bool = False  # whether a compressed answer is welcome

    @property
    def url(self) -> URL:
        """Raises URLError."""
        return request_url(self.scheme, self.host, self.port, self.path)

    def request(self) -> "HTTPRequest":
        """Raises URLError."""
        headers: dict[str, list[str]] = {}
        for name, value in self.headers:
            headers.setdefault(canonical(name), []).append(value)
        headers.setdefault("User-Agent", [self.user_agent])
        if headers.setdefault("Accept", ["*/*"])[0] == "":
            del headers["Accept"]
        return HTTPRequest(
            url=self.url, host=headers.get("Host", [""])[0], headers=headers, compression=self.compression
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPRequest:
    """A GET. `host`: of the Host header, "" for the URL's. `headers`: by canonical name."""

    url: URL
    host: str
    headers: dict[str, list[str]]
    compression: bool = False

    def encode(self) -> bytes:
        """The request as it goes over the wire. Raises RequestError."""
        self._check()
        headers = {name: values for name, values in self.headers.items() if name not in _OWN}
        if self.url.credentials:
            headers.setdefault("Authorization", [self.url.credentials])
        lines = [f"GET {self.url.request_uri} HTTP/1.1", f"Host: {self._host_header()}"]
        if agent := self.headers["User-Agent"][0].strip(" \t"):
            lines.append(f"User-Agent: {agent}")
        lines += [f"{name}: {value.strip(_BLANKS)}" for name in sorted(headers) for value in headers[name]]
        if self.compression and not headers.keys() & {"Accept-Encoding", "Range"}:
            lines.append("Accept-Encoding: gzip")
        if not self._says_connection():
            lines.append("Connection: close")
        return encoded("\r\n".join(lines) + "\r\n\r\n")

    def redirected(self, location: str) -> "HTTPRequest":
        """The next request when this one's answer names another place. Raises URLError."""
        reference = parse(location)
        url = resolve(self.url, reference)
        headers = dict(self.headers)
        if "Referer" not in headers and not (self.url.scheme == "https" and url.scheme == "http"):
            headers["Referer"] = [str(replace(self.url, user=None))]
        # a Host header stays as long as the place is named relative to this one
        return replace(self, url=url, host="" if reference.scheme else self.host, headers=headers)

    def plain(self) -> "HTTPRequest":
        """The same without TLS, and without what was meant for TLS eyes only."""
        headers = {name: values for name, values in self.headers.items() if name != "Authorization"}
        return replace(self, url=replace(self.url, scheme="http"), headers=headers)

    def _check(self) -> None:
        for name, values in self.headers.items():
            if not _TOKEN.fullmatch(name):
                raise RequestError(f"net/http: invalid header field name {go_quote(name)}")
            if any(_BAD_VALUE.search(value) for value in values):
                raise RequestError(f"net/http: invalid header field value for {go_quote(name)}")
        if self.url.scheme not in ("http", "https"):
            raise RequestError(f"unsupported protocol scheme {go_quote(self.url.scheme)}")
        if not self.url.host:
            raise RequestError("http: no Host in request URL")

    def _host_header(self) -> str:
        host = _ZONE.sub("", self.host or self.url.host.decode(errors="replace"))
        if not host.isascii():
            host = _punycode(host)
        return host if _HOST_HEADER.fullmatch(host) else ""

    def _says_connection(self) -> bool:
        said = [
            word.strip(_BLANKS).lower() for value in self.headers.get("Connection", ()) for word in value.split(",")
        ]
        return "close" in said or ("upgrade" in said and "Upgrade" in self.headers)


_BLANKS = " \t"


def canonical(name: str) -> str:
    """X-One for x-ONE; what is no header name stays as it is."""
    if not _TOKEN.fullmatch(name):
        return name
    return "-".join(part.capitalize() for part in name.split("-"))


def _punycode(host: str) -> str:
    name, colon, port = host.rpartition(":")
    name, port = (name, port) if colon and port.isdigit() else (host, "")
    try:
        return name.encode("idna").decode() + (f":{port}" if port else "")
    except UnicodeError:
        return ""
