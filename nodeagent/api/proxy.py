"""Which proxy leads to a server: the kubeconfig's, else the environment's, which is read as Go's programs read it.

Source: docs/facts/api-client-and-server.md A.6. Python's own library reads NO_PROXY in another way: it knows no
networks, and a cluster's API server is as a rule an address.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

SOCKS_PORT = 1080
_SCHEMES = ("http", "https", "socks5", "socks5h")
_PORTS = {"http": 80, "https": 443}
_VARIABLES = {"http": ("HTTP_PROXY", "http_proxy"), "https": ("HTTPS_PROXY", "https_proxy")}


def check_proxy(url: str) -> str:
    """Return the URL. Raises ValueError; the text never has the password in it."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError as well
    except ValueError:
        raise ValueError("it is not a URL") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"{parts.scheme or 'no scheme'}: only http, https and socks5 proxies can be used")
    if not parts.hostname:
        raise ValueError("it names no host")
    return url


def environment_proxy(server: str, environ: Mapping[str, str]) -> str:
    """The URL of the proxy for a server; empty: none. Raises ValueError, which names the variable."""
    parts = urlsplit(server)
    names = _VARIABLES[parts.scheme]
    name = next((name for name in names if environ.get(name)), "")
    exceptions = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if not name or _is_direct(parts.hostname or "", parts.port or _PORTS[parts.scheme], exceptions.split(",")):
        return ""
    url = environ[name]
    try:
        return check_proxy(url if "://" in url else f"http://{url}")
    except ValueError as error:
        raise ValueError(f"the environment's {name}: {error}") from None


def _is_direct(host: str, port: int, exceptions: Iterable[str]) -> bool:
    """Whether no proxy is to be asked: this machine, and what NO_PROXY names."""
    host = host.lower().removesuffix(".")
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_names(text.strip().lower(), host, address, port) for text in exceptions)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _names(rule: str, host: str, address: _Address | None, port: int) -> bool:
    """Whether one entry of NO_PROXY fits: `*`, a network, an address or a domain, the latter two with a port or without."""
    if rule in ("", "*"):
        return rule == "*"
    if address is not None and "/" in rule:
        try:
            return address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    rule, only_port = _split_port(rule)
    if only_port and only_port != str(port):
        return False
    if (named := _address(rule)) is not None:
        return named == address
    domain = rule.removeprefix("*")
    if domain.startswith("."):
        return host.endswith(domain)
    return host == domain or host.endswith(f".{domain}")


def _split_port(rule: str) -> tuple[str, str]:
    if rule.startswith("["):
        host, _, rest = rule[1:].partition("]")
        return host, rest.removeprefix(":")
    host, colon, port = rule.rpartition(":")
    return (host, port) if colon and ":" not in host else (rule, "")


def _address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
