"""Images from files: OCI layouts (a folder), OCI archives and docker archives (tar, plain or compressed).

Blobs go into the store as they are, verified; an image keeps the id it had where the archive was made.
Source: OCI image layout specification; the format of `docker save` (manifest.json).
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from runtimes.errors import InvalidArgument, NotFound
from runtimes.kube.json_errors import UNREADABLE
from runtimes.oci.images.archive_files import Files, files_of, has
from runtimes.oci.images.decompression import MAGIC_BYTES, compression_of
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.manifest import (
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    NotAnImage,
    digest_of,
    parse_configuration,
    parse_manifest,
)
from runtimes.oci.images.platform_choice import Chosen, NoPlatform, choose, no_platform
from runtimes.oci.images.platforms import Host

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_CHUNK_BYTES = 1024 * 1024
_MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
_FULL_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """One image whose blobs are in the store. `names` are references as the archive has them, possibly none."""

    manifest: Manifest
    manifest_data: bytes
    target_digest: str  # of what the archive names: the manifest, or an index above it
    names: tuple[str, ...]


def read_archive(path: Path, layout: Layout, work: Path, host: Host) -> list[Imported]:
    """Take the images for `host` into the blobs. Blocks. Raises InvalidArgument, NotFound, OSError.

    What is for other machines is left out; when there is nothing else, that is an error with the platforms there.
    """
    reader = _Reader(path, layout, work, host)
    with files_of(path, work) as files:
        if path.is_dir() or (has(files, "oci-layout") and has(files, "index.json")):
            return reader.oci(files)
        if has(files, "manifest.json"):
            return reader.docker(files)
    raise InvalidArgument(f"{path}: neither an OCI archive (index.json) nor a docker archive (manifest.json)")


class _Reader:
    def __init__(self, path: Path, layout: Layout, work: Path, host: Host) -> None:
        self._path = path
        self._layout = layout
        self._work = work
        self._host = host

    def oci(self, files: Files) -> list[Imported]:
        what = f"{self._path}: index.json"
        index = parse_manifest(self._document(files, "index.json"), what)
        if not isinstance(index, Index):
            raise InvalidArgument(f"{what}: not an image index")
        found: dict[str, Imported] = {}
        for target, chosen, names in self._chosen(files, index):
            manifest, known = chosen.manifest, found.get(chosen.manifest.config.digest)
            if known is None:
                for blob in (manifest.config, *manifest.layers):
                    self._take(files, blob)
            found[manifest.config.digest] = Imported(
                manifest=manifest,
                manifest_data=chosen.data,
                target_digest=target,
                names=tuple(dict.fromkeys((*(known.names if known else ()), *names))),
            )
        return list(found.values())

    def _chosen(self, files: Files, index: Index) -> list[tuple[str, Chosen, tuple[str, ...]]]:
        """What the archive holds for this machine, with the digest that names it there and its names.

        Entries of one name are one image for several platforms. Those without a name are images of their own, of which
        the ones for the best variant count.
        """
        groups: dict[str, list[Descriptor]] = {}
        for descriptor in index.manifests:
            groups.setdefault(_label(descriptor), []).append(descriptor)
        found: list[tuple[str, Chosen, tuple[str, ...]]] = []
        left_out: list[NoPlatform | NotAnImage] = []
        for label, descriptors in groups.items():
            images: list[tuple[Descriptor, Chosen]] = []
            unfit: list[NoPlatform | NotAnImage] = []
            for descriptor in descriptors:
                try:
                    images.append((descriptor, self._choose(files, descriptor, label)))
                except (NoPlatform, NotAnImage) as error:
                    unfit.append(error)
            left_out += () if images else unfit
            best = min((chosen.rank for _, chosen in images), default=0)
            found += [(d.digest, chosen, _names(d)) for d, chosen in images if chosen.rank == best]
        return self._some(found, left_out)

    def _choose(self, files: Files, descriptor: Descriptor, label: str) -> Chosen:
        what = f"{self._path}: {label}" if label else str(self._path)
        choosing = choose(Index(manifests=(descriptor,)), what, self._host)
        try:
            needed = next(choosing)
            while True:
                digest = needed.digest if needed.config is None else needed.config.digest
                there = has(files, _blob_name(digest))
                needed = choosing.send(self._document(files, _blob_name(digest)) if there else None)
        except StopIteration as end:
            chosen: Chosen = end.value
            return chosen

    def _some(self, found: list[_T], left_out: Sequence[NoPlatform | NotAnImage]) -> list[_T]:
        """What was found, if anything: what is for other machines is then only mentioned."""
        if found:
            for error in left_out:
                if not isinstance(error, NoPlatform) or error.platforms:
                    log.warning("left out: %s", error)
            return found
        offered = {place for error in left_out if isinstance(error, NoPlatform) for place in error.platforms}
        if offered and len(left_out) > 1:
            raise no_platform(str(self._path), self._host, offered)
        raise left_out[0] if left_out else InvalidArgument(f"{self._path}: there is no image in it")

    def docker(self, files: Files) -> list[Imported]:
        what = f"{self._path}: manifest.json"
        try:
            entries = json.loads(self._document(files, "manifest.json"))
        except UNREADABLE as error:
            raise InvalidArgument(f"{what}: not JSON: {error}") from None
        if not isinstance(entries, list) or not entries:
            raise InvalidArgument(f"{what}: there is no image in it")
        found, left_out = [], []
        for entry in entries:
            try:
                found.append(self._docker_image(files, entry, what))
            except NoPlatform as error:
                left_out.append(error)
        return self._some(found, left_out)

    def _docker_image(self, files: Files, entry: object, what: str) -> Imported:
        config_name = entry.get("Config") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(config_name, str):
            raise InvalidArgument(f"{what}: Config is missing")
        names, layer_names = (_strings(entry.get(key), f"{what}: {key}") for key in ("RepoTags", "Layers"))
        config_data = self._document(files, config_name)
        configuration = parse_configuration(config_data, str(self._path))
        place = (configuration.config.os, configuration.config.architecture, configuration.config.variant)
        if self._host.rank(place) is None:
            raise no_platform(f"{self._path}: {names[0] if names else config_name}", self._host, {place})
        if len(layer_names) != len(configuration.diff_ids):
            raise InvalidArgument(
                f"{what}: {len(layer_names)} layers, {len(configuration.diff_ids)} in the image configuration"
            )
        layers = [
            self._take_layer(files, name, diff_id)
            for name, diff_id in zip(layer_names, configuration.diff_ids, strict=True)
        ]
        config_digest = digest_of(config_data)
        config = _described(DOCKER_CONFIG, config_digest, len(config_data))
        self._layout.add_blob(config_digest, [config_data], self._work, config_name)
        data = json.dumps(
            {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": layers}
        ).encode()
        manifest = parse_manifest(data, what)
        assert isinstance(manifest, Manifest)
        return Imported(manifest=manifest, manifest_data=data, target_digest=digest_of(data), names=names)

    def _take_layer(self, files: Files, name: str, diff_id: str) -> dict[str, str | int]:
        """A layer of a docker archive is normally plain, so that its digest is its diff id; anything else is named again."""
        with files.open(name) as file:
            compression = compression_of(file.read(MAGIC_BYTES))
            file.seek(0)
            digest = _digest_of_file(file) if compression else diff_id
            file.seek(0)
            kind = "application/vnd.docker.image.rootfs.diff.tar" + (f".{compression}" if compression else "")
            blob = self._layout.blob(digest)
            if blob.exists():
                return _described(kind, digest, blob.stat().st_size)
            size = self._layout.add_blob(digest, _chunks(file), self._work, f"{self._path}: layer {name}")
            return _described(kind, digest, size)

    def _take(self, files: Files, blob: Descriptor) -> None:
        if self._layout.blob(blob.digest).exists():
            return
        name = _blob_name(blob.digest)
        try:
            file = files.open(name)
        except NotFound:
            raise InvalidArgument(f"{self._path}: blob {blob.digest} is missing") from None
        with file:
            self._layout.add_blob(blob.digest, _chunks(file), self._work, f"{self._path}: {name}")

    def _document(self, files: Files, name: str) -> bytes:
        try:
            file = files.open(name)
        except NotFound:
            raise InvalidArgument(f"{self._path}: {name} is missing") from None
        with file:
            data = file.read(_MAX_DOCUMENT_BYTES + 1)
        if len(data) > _MAX_DOCUMENT_BYTES:
            raise InvalidArgument(f"{self._path}: {name} is larger than {_MAX_DOCUMENT_BYTES} bytes")
        return data


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _described(media_type: str, digest: str, size: int) -> dict[str, str | int]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _digest_of_file(file: IO[bytes]) -> str:
    hasher = hashlib.sha256()
    for chunk in _chunks(file):
        hasher.update(chunk)
    return f"sha256:{hasher.hexdigest()}"


def _label(descriptor: Descriptor) -> str:
    """What the archive calls the image: containerd's annotation, else the layout's."""
    return descriptor.annotations.get(_FULL_NAME) or descriptor.annotations.get(_REF_NAME, "")


def _names(descriptor: Descriptor) -> tuple[str, ...]:
    """The image's references: a bare tag is none, unless containerd says so."""
    label = _label(descriptor)
    return (label,) if _FULL_NAME in descriptor.annotations or "/" in label or ":" in label else ()


def _strings(value: object, what: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise InvalidArgument(f"{what}: not a list of strings")
    return tuple(value)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk
