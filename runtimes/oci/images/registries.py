"""Which registries are reached how: mirrors, plain HTTP, certificates; and at which places an image is asked for.

A mirror is a registry like any other, with an entry of its own for how it is reached; that entry's mirrors are not followed. A
mirror without an entry is reached like the registry whose mirror it is; one on this machine also without TLS. Without any
configured registry the machine's own files under /etc/containers count (containers-registries.conf(5)); with one, only what
is configured here.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from runtimes.errors import InvalidArgument
from runtimes.kube.image_reference import DEFAULT_HOST, Reference, parse_location

# Names under which Docker's registry is known. "index.docker.io" in an image's name is changed by its normalisation.
_DOCKER_HOSTS = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """One registry host ("registry.example:5000"), or a prefix of repositories on it ("registry.example/team").

    `mirrors`: where its repositories are asked for first, written in the same way: what follows the prefix follows there
    too. `insecure`: plain HTTP or an unverified certificate will do. `certs_dir` holds ca.crt, and client.cert with
    client.key where the registry asks for one. `blocked`: nothing is pulled from it.
    """

    prefix: str
    insecure: bool = False
    blocked: bool = False
    mirrors: tuple[str, ...] = ()
    certs_dir: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullSource:
    """Where an image is asked for: `reference` is its name there."""

    reference: Reference
    insecure: bool = False
    certs_dir: Path | None = None
    blocked: bool = False
    mirror: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    entries: tuple[Registry, ...] = ()

    def for_repository(self, repository: str) -> Registry | None:
        """The entry with the longest prefix that fits."""
        repository = registry_name(repository)
        fitting = [e for e in self.entries if _inside(repository, registry_name(e.prefix)) is not None]
        return max(fitting, key=lambda e: len(registry_name(e.prefix)), default=None)

    def places(self, reference: Reference) -> tuple[PullSource, ...]:
        """Where to ask for an image, in this order: the mirrors, then the registry itself. Raises InvalidArgument."""
        entry = self.for_repository(reference.repository)
        if entry is not None and entry.blocked:
            raise InvalidArgument(f"registry {entry.prefix} is blocked by this node's configuration")
        own = self._place(reference, entry)
        mirrors: dict[Reference, PullSource] = {}
        for place in self._mirrors(reference, entry):
            mirrors.setdefault(place.reference, place)
        mirrors.pop(own.reference, None)
        return (*mirrors.values(), own)

    def _mirrors(self, reference: Reference, entry: Registry | None) -> Iterator[PullSource]:
        if entry is None:
            return
        rest = _inside(registry_name(reference.repository), registry_name(entry.prefix))
        for mirror in entry.mirrors:
            host, path = parse_location(mirror)
            there = Reference(
                host=host,
                path="/".join(filter(None, (path, rest))) or reference.path,
                tag=reference.tag,
                digest=reference.digest,
            )
            own = self.for_repository(there.repository)
            place = self._place(there, own or entry, mirror=True)
            # what nobody configured on this machine is spoken to without TLS, as everywhere
            yield place if own is not None else replace(place, insecure=place.insecure or is_loopback(there.host))

    def _place(self, reference: Reference, entry: Registry | None, *, mirror: bool = False) -> PullSource:
        if entry is None:  # on this machine it is spoken to without TLS though nobody said so, as everywhere
            return PullSource(reference=reference, insecure=is_loopback(reference.host))
        return PullSource(
            reference=reference,
            insecure=entry.insecure,
            certs_dir=entry.certs_dir,
            blocked=entry.blocked,
            mirror=mirror,
        )


def registry_name(repository: str) -> str:
    """host[:port][/path] in the one form that is compared: the host in lower case, and Docker's registry by one name."""
    host, slash, path = repository.partition("/")
    host = host.lower()
    return f"{DEFAULT_HOST if host in _DOCKER_HOSTS else host}{slash}{path}"


def is_loopback(host: str) -> bool:
    """Whether a registry's host[:port] is this machine by name or address."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _inside(repository: str, prefix: str) -> str | None:
    """What follows the prefix in a repository's name; None where it is not of it."""
    if repository == prefix:
        return ""
    return repository[len(prefix) + 1 :] if repository.startswith(f"{prefix}/") else None
