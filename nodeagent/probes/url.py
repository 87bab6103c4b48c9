"""URLs read and written as Go's net/url does: what a probe or a hook puts into its request line. Pure.

Specifications give a path, which is first read as a URL of its own; what cannot be read as one is taken as a plain path. The
result is written as text and read again, as Go's HTTP client does, and only then is it known what goes over the wire:
a path that is validly escaped stays as it is, any other is escaped again; a query is never touched.
"""

import base64
import functools
import ipaddress
import re
from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes

from typing_extensions import override

from runtimes.kube.go_quote import go_quote

_HEX = frozenset(b"0123456789abcdefABCDEF")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
# what each part of a URL need not escape (RFC 3986, as Go reads it)
_PATH = _UNRESERVED | frozenset(b"$&+,/:;=@")
_FRAGMENT = _PATH | frozenset(b"?!()*")
_USER = _UNRESERVED | frozenset(b"$&+,;=")
_HOST = _UNRESERVED | frozenset(b"!$&'()*+,;=:[]<>\"")
# what may stand in a path or a fragment that is escaped already
_ALSO_VALID = frozenset(b"!$&'()*+,;=:@[]%")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PORT = re.compile(r"(:[0-9]*)?")
_USERINFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")


class URLError(ValueError):
    """The text is no URL; the message is Go's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class URL:
    """`host` may carry a port; `path` and `fragment` are bytes as they are meant, the `raw_` ones as they were written."""

    scheme: str = ""
    opaque: str = ""
    user: tuple[bytes, bytes | None] | None = None
    host: bytes = b""
    path: bytes = b""
    raw_path: str = ""
    force_query: bool = False
    raw_query: str = ""
    fragment: bytes = b""
    raw_fragment: str = ""

    @override
    def __str__(self) -> str:
        text = f"{self.scheme}:" if self.scheme else ""
        text += self.opaque or self._hierarchy()
        if self.force_query or self.raw_query:
            text += f"?{self.raw_query}"
        if self.fragment:
            text += f"#{self.escaped_fragment}"
        return text

    def _hierarchy(self) -> str:
        """Authority and path."""
        path, user = self.escaped_path, ""
        if self.user is not None:
            user = f"{_user_text(self.user)}@"
        if not self.host and not user:
            return f"//{path}" if self.scheme and path else path
        slash = "/" if path and not path.startswith("/") and self.host else ""
        return f"//{user}{_escape(self.host, _HOST)}{slash}{path}"

    @property
    def escaped_path(self) -> str:
        return _escaped(self.path, self.raw_path, _PATH)

    @property
    def escaped_fragment(self) -> str:
        return _escaped(self.fragment, self.raw_fragment, _FRAGMENT)

    @property
    def redacted(self) -> str:
        """As text, for messages: without a password."""
        if self.user is None or self.user[1] is None:
            return str(self)
        return str(self).replace(f"{_user_text(self.user)}@", f"{self.user[0].decode(errors='replace')}:***@", 1)

    @property
    def request_uri(self) -> str:
        """What stands between the method and the version in a request line."""
        found = self.opaque or self.escaped_path or "/"
        return f"{found}?{self.raw_query}" if self.force_query or self.raw_query else found

    @property
    def hostname(self) -> str:
        """Without port and brackets."""
        return _split_port(self.host.decode(errors="replace"))[0]

    @property
    def port(self) -> int | None:
        digits = _split_port(self.host.decode(errors="replace"))[1]
        return int(digits) if digits else None

    @property
    def credentials(self) -> str:
        """The value of an Authorization header for the user in the URL; "" for none."""
        if self.user is None:
            return ""
        return "Basic " + base64.b64encode(self.user[0] + b":" + (self.user[1] or b"")).decode()


@functools.lru_cache(maxsize=4096)  # a node asks for the same few again and again
def request_url(scheme: str, host: str, port: int, path: str) -> URL:
    """The URL that a specification's scheme, host, port and path make. Raises URLError when they make none."""
    try:
        given = parse(path)
    except URLError:
        given = URL(path=encoded(path))
    address = f"[{host}]:{port}" if ":" in host or "%" in host else f"{host}:{port}"
    return parse(str(replace(given, scheme=scheme, host=encoded(address))))


def parse(text: str) -> URL:
    """Raises URLError."""
    before, _, fragment = text.partition("#")
    try:
        found = _parse(before)
    except URLError as error:
        raise URLError(f"parse {go_quote(before)}: {error}") from None
    if not fragment:
        return found
    try:
        meant = _unescape(fragment, frozenset())
    except URLError as error:
        raise URLError(f"parse {go_quote(text)}: {error}") from None
    raw = "" if _escape(meant, _FRAGMENT) == fragment else fragment
    return replace(found, fragment=meant, raw_fragment=raw)


def resolve(base: URL, reference: URL) -> URL:
    """What a reference, such as a Location header's, means at `base` (RFC 3986, section 5.2)."""
    found = replace(reference, scheme=reference.scheme or base.scheme)
    if reference.scheme or reference.host or reference.user is not None:
        return found if reference.opaque else _with_path(found, _resolved_path(reference.escaped_path, ""))
    if reference.opaque:
        return replace(found, user=None, host=b"", path=b"", raw_path="")
    if not reference.path and not reference.force_query and not reference.raw_query:
        found = replace(found, raw_query=base.raw_query)
        if not reference.fragment:
            found = replace(found, fragment=base.fragment, raw_fragment=base.raw_fragment)
    if not reference.path and base.opaque:
        return replace(found, opaque=base.opaque, user=None, host=b"", path=b"", raw_path="")
    found = replace(found, host=base.host, user=base.user)
    return _with_path(found, _resolved_path(base.escaped_path, reference.escaped_path))


def encoded(text: str) -> bytes:
    """UTF-8; bytes that were none come out as they went in."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="replace")


def _parse(text: str) -> URL:
    """Without a fragment."""
    if _CONTROL.search(text):
        raise URLError("net/url: invalid control character in URL")
    if text == "*":
        return URL(path=b"*")
    if text.startswith(":"):
        raise URLError("missing protocol scheme")
    match = _SCHEME.match(text)
    scheme = match.group(1).lower() if match is not None else ""
    rest = text[match.end() :] if match is not None else text
    force_query = rest.endswith("?") and rest.count("?") == 1
    rest, _, query = rest.partition("?")
    found = URL(scheme=scheme, force_query=force_query, raw_query=query)
    if not rest.startswith("/"):
        if scheme:
            return replace(found, opaque=rest)
        if ":" in rest.partition("/")[0]:
            raise URLError("first path segment in URL cannot contain colon")
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, below = rest[2:].partition("/")
        rest = slash + below
        user, host = _parse_authority(authority)
        found = replace(found, user=user, host=host)
    return _with_path(found, rest)


def _with_path(url: URL, written: str) -> URL:
    path = _unescape(written, frozenset())
    return replace(url, path=path, raw_path="" if _escape(path, _PATH) == written else written)


def _parse_authority(authority: str) -> tuple[tuple[bytes, bytes | None] | None, bytes]:
    info, at, host = authority.rpartition("@")
    found = _parse_host(host)
    if not at:
        return None, found
    if not _USERINFO.fullmatch(info):
        raise URLError("net/url: invalid userinfo")
    name, colon, password = info.partition(":")
    return (_unescape(name, frozenset()), _unescape(password, frozenset()) if colon else None), found


def _parse_host(host: str) -> bytes:
    if host.startswith("["):
        inside, closed, port = host[1:].rpartition("]")
        if not closed:
            raise URLError("missing ']' in host")
        _check_port(port)
        name = inside.partition("%25")[0]
        try:
            address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = ipaddress.ip_address(name)
        except ValueError:
            address = None
        if not isinstance(address, ipaddress.IPv6Address):
            raise URLError(f"invalid host: ParseAddr({go_quote(name)}): unable to parse IP")
        return b"[" + _unescape(inside, _HOST | frozenset(b" %")) + b"]" + port.encode()
    if "[" in host:
        raise URLError('invalid character "[" in host name')
    name, colon, port = host.rpartition(":")
    _check_port(colon + port if colon else "")
    return _unescape(host, _HOST, host=True)


def _check_port(port: str) -> None:
    if not _PORT.fullmatch(port):
        raise URLError(f"invalid port {go_quote(port)} after host")


def _split_port(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    if not colon or not _PORT.fullmatch(f":{port}") or (host.startswith("[") and not name.endswith("]")):
        name, port = host, ""
    return name.removeprefix("[").removesuffix("]") if name.startswith("[") else name, port


def _unescape(text: str, valid: frozenset[int], *, host: bool = False) -> bytes:
    """The bytes that a text with %XX means. `valid`: what else may stand in it, of ASCII; empty: everything."""
    raw = encoded(text)
    for position, byte in enumerate(raw):
        if byte == ord("%"):
            escape = raw[position : position + 3]
            # in a host name an escape may stand for what is not ASCII only, and %25 for a zone
            if (
                len(escape) < 3
                or not _HEX.issuperset(escape[1:])
                or (host and escape[1] < ord("8") and escape != b"%25")
            ):
                raise URLError(f"invalid URL escape {go_quote(escape.decode(errors='replace'))}")
        elif valid and byte < 0x80 and byte not in valid:
            raise URLError(f"invalid character {go_quote(chr(byte))} in host name")
    return unquote_to_bytes(raw)


def _escape(raw: bytes, unescaped: frozenset[int]) -> str:
    return "".join(chr(byte) if byte in unescaped else f"%{byte:02X}" for byte in raw)


def _escaped(meant: bytes, written: str, unescaped: frozenset[int]) -> str:
    """As it was written, where that is valid; else escaped again."""
    if written and all(byte in unescaped or byte in _ALSO_VALID for byte in encoded(written)):
        return written
    return "*" if meant == b"*" else _escape(meant, unescaped)


def _user_text(user: tuple[bytes, bytes | None]) -> str:
    name, password = user
    text = _escape(name, _USER)
    return text if password is None else f"{text}:{_escape(password, _USER)}"


def _resolved_path(base: str, reference: str) -> str:
    """`reference` in the folder of `base`, without dots."""
    if not reference:
        full = base
    elif not reference.startswith("/"):
        full = base[: base.rfind("/") + 1] + reference
    else:
        full = reference
    if not full:
        return ""
    path, first, part = "", True, ""
    for part in full.split("/"):
        if part == "..":
            path, slash, _ = path.rpartition("/")
            first = not slash
        elif part == ".":
            first = False
        else:
            path += part if first else f"/{part}"
            first = False
    if part in (".", ".."):
        path += "/"
    return path if path.startswith("/") else f"/{path}"
