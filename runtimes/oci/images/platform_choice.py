"""Of an image of several platforms, the one for this machine: indexes in indexes, attestations beside, variants.

Decides and reads nothing itself: `choose` asks for the documents that it needs, so that archives and registries, which get
them in different ways, have the same rules.
"""

from collections.abc import Collection, Generator
from dataclasses import dataclass
from typing import TypeGuard

from runtimes.errors import InvalidArgument, NotFound
from runtimes.oci.images.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    NotAnImage,
    digest_of,
    matches_digest,
    parse_configuration,
    parse_manifest,
)
from runtimes.oci.images.platforms import Host, Place

_MAX_DEPTH = 4
_MAX_DOCUMENTS = 256
_INDEXES = (OCI_INDEX, DOCKER_LIST)
_MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """A manifest or index by its digest; with `config`, the image configuration of that manifest."""

    digest: str
    config: Descriptor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """`rank` as of Host.rank."""

    manifest: Manifest
    data: bytes
    rank: int


class NoPlatform(NotFound):
    """Nothing there is for this machine. `platforms`: those that are there; attestations have none."""

    def __init__(self, message: str, *, reason: str = "", platforms: Collection[Place] = ()) -> None:
        super().__init__(message, reason=reason)
        self.platforms = platforms


def no_platform(what: str, host: Host, offered: Collection[Place]) -> NoPlatform:
    platforms = {place for place in offered if "unknown" not in place}
    return NoPlatform(f"{what}: no manifest for {host.lacking(platforms)}", platforms=platforms)


Choosing = Generator[Needed, bytes | None, Chosen]


def choose(index: Index, what: str, host: Host) -> Choosing:
    """Yields what is to be read and is sent its bytes, None for what is not there. Raises NoPlatform, InvalidArgument.

    Lists may be longer than what was copied of them: entries that are not there are passed over. Entries that say their
    platform are looked at before those that do not, better variants before others.
    """
    search = _Search(what, host)
    chosen = yield from search.best(index, 0)
    if chosen is None and search.absent:
        raise InvalidArgument(f"{what}: blob {search.absent} is missing")
    if chosen is None and search.not_an_image is not None and not search.offered:
        raise search.not_an_image
    if chosen is None:
        raise no_platform(what, host, search.offered)
    return chosen


class _Search:
    def __init__(self, what: str, host: Host) -> None:
        self._what = what
        self._host = host
        self._seen: set[str] = set()
        self.offered: set[Place] = set()
        self.not_an_image: NotAnImage | None = None
        self.absent = ""  # the digest of something that might have been the one

    def best(self, index: Index, depth: int) -> Generator[Needed, bytes | None, Chosen | None]:
        for descriptor in self._in_order(index):
            if descriptor.digest in self._seen:
                continue
            self._seen.add(descriptor.digest)
            try:
                chosen = yield from self._look_into(descriptor, depth)
            except NotAnImage as error:  # a signature, a bill of materials
                self.not_an_image = error
                continue
            if chosen is not None:
                return chosen
        return None

    def _in_order(self, index: Index) -> list[Descriptor]:
        ranked: list[tuple[int, Descriptor]] = []
        for descriptor in index.manifests:
            if descriptor.media_type not in ("", *_INDEXES, *_MANIFESTS):  # content tells, where the type does not
                continue
            if descriptor.platform is None:
                ranked.append((len(self._host.variants) + 1, descriptor))
            elif (rank := self._host.rank(descriptor.platform)) is not None:
                ranked.append((rank, descriptor))
            else:
                self.offered.add(descriptor.platform)
        return [descriptor for _, descriptor in sorted(ranked, key=lambda pair: pair[0])]

    def _look_into(self, descriptor: Descriptor, depth: int) -> Generator[Needed, bytes | None, Chosen | None]:
        data = yield self._needed(descriptor)
        if not self._is_there(data, descriptor.digest):
            return None
        parsed = parse_manifest(data, f"{self._what}: {descriptor.digest}")
        if isinstance(parsed, Index):
            if depth == _MAX_DEPTH:
                raise InvalidArgument(f"{self._what}: indexes within indexes, more than {_MAX_DEPTH} deep")
            return (yield from self.best(parsed, depth + 1))
        place = descriptor.platform
        if place is None:
            content = yield Needed(digest=descriptor.digest, config=parsed.config)
            if not self._is_there(content, parsed.config.digest):
                return None
            config = parse_configuration(content, self._what).config
            place = (config.os, config.architecture, config.variant)
        rank = self._host.rank(place)
        if rank is None:
            self.offered.add(place)
            return None
        return Chosen(manifest=parsed, data=data, rank=rank)

    def _is_there(self, data: bytes | None, digest: str) -> TypeGuard[bytes]:
        if data is None:
            self.absent = self.absent or digest
            return False
        if not matches_digest(data, digest):
            raise InvalidArgument(f"{self._what}: content has digest {digest_of(data)}, not {digest}")
        return True

    def _needed(self, descriptor: Descriptor) -> Needed:
        if len(self._seen) > _MAX_DOCUMENTS:
            raise InvalidArgument(f"{self._what}: more than {_MAX_DOCUMENTS} manifests")
        return Needed(digest=descriptor.digest)
