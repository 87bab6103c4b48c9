"""Which registries are reached how: mirrors, plain HTTP, certificates; as configured, and as skopeo reads it.

Source: containers-registries.conf(5). Without any configured registry the machine's own files under /etc/containers count.
"""

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A place that is asked before the registry itself. `insecure`: plain HTTP or an unverified certificate will do."""

    location: str
    insecure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """One registry host ("registry.example:5000"), or a prefix of repositories on it ("registry.example/team").

    `certs_dir` holds ca.crt, and client.cert with client.key where the registry asks for one.
    """

    prefix: str
    insecure: bool = False
    blocked: bool = False
    mirrors: tuple[Mirror, ...] = ()
    certs_dir: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    entries: tuple[Registry, ...] = ()

    def for_repository(self, repository: str) -> Registry | None:
        """The entry with the longest prefix that fits."""
        fitting = [e for e in self.entries if repository == e.prefix or repository.startswith(f"{e.prefix}/")]
        return max(fitting, key=lambda e: len(e.prefix), default=None)

    def plain_http(self, repository: str) -> bool:
        """Whether the registry may be spoken to without TLS though nobody configured it: on this machine, as everywhere."""
        return self.for_repository(repository) is None and is_loopback(repository.partition("/")[0])

    def conf(self) -> str:
        """The text of a registries.conf (version 2)."""
        return "unqualified-search-registries = []\n" + "".join(_entry(e) for e in self.entries)


def is_loopback(host: str) -> bool:
    """Whether a registry's host[:port] is this machine by name or address."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _entry(entry: Registry) -> str:
    return _table(
        "[[registry]]",
        (
            ("prefix", entry.prefix),
            ("location", entry.prefix),
            ("insecure", entry.insecure),
            ("blocked", entry.blocked),
        ),
    ) + "".join(
        _table("[[registry.mirror]]", (("location", m.location), ("insecure", m.insecure))) for m in entry.mirrors
    )


def _table(title: str, pairs: Iterable[tuple[str, str | bool]]) -> str:
    # TOML's basic strings and booleans are written as JSON's.
    return f"\n{title}\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in pairs)
