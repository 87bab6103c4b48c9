"""Images from files: OCI layouts (a folder), OCI archives and docker archives (tar, plain or compressed).

Blobs go into the store as they are, verified; an image keeps the id it had where the archive was made.
Source: OCI image layout specification; the format of `docker save` (manifest.json).
"""

import bz2
import contextlib
import gzip
import hashlib
import json
import lzma
import posixpath
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

from runtimes.errors import InvalidArgument, NotFound, NotSupported
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.manifest import (
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    digest_of,
    parse_configuration,
    parse_manifest,
)

_CHUNK_BYTES = 1024 * 1024
_MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
_MAX_INDEX_DEPTH = 4
_FULL_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """One image whose blobs are in the store. `names` are references as the archive has them, possibly none."""

    manifest: Manifest
    manifest_data: bytes
    target_digest: str  # of what the archive names: the manifest, or an index above it
    names: tuple[str, ...]


class _Source(Protocol):
    def open(self, name: str) -> IO[bytes]:
        """The file of that name in the archive. Raises NotFound."""
        ...


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, name: str) -> IO[bytes]:
        try:
            return (self._root / name).open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFound(f"{name} is missing") from None


class _Tar:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._members = {posixpath.normpath(member.name): member for member in archive}

    def open(self, name: str) -> IO[bytes]:
        member = self._members.get(posixpath.normpath(name))
        with contextlib.suppress(KeyError):  # a link to what is not there
            if member is not None and (file := self._archive.extractfile(member)) is not None:
                return file
        raise NotFound(f"{name} is missing")


def read_archive(path: Path, layout: Layout, work: Path, architecture: str) -> list[Imported]:
    """Take the images for linux on `architecture` into the blobs. Blocks. Raises InvalidArgument, NotFound, OSError."""
    reader = _Reader(path, layout, work, architecture)
    if path.is_dir():
        return reader.oci(_Folder(path))
    try:
        with tarfile.open(_plain(path, work), "r:") as archive:
            source = _Tar(archive)
            if _has(source, "oci-layout") and _has(source, "index.json"):
                return reader.oci(source)
            if _has(source, "manifest.json"):
                return reader.docker(source)
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file") from None
    except (tarfile.TarError, EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InvalidArgument(f"{path}: not a tar archive, or a damaged one: {error}") from None
    raise InvalidArgument(f"{path}: neither an OCI archive (index.json) nor a docker archive (manifest.json)")


def _plain(path: Path, work: Path) -> Path:
    """The archive itself, or its decompressed copy: members are read in the order in which images name them."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"\x28\xb5\x2f\xfd":
        raise NotSupported(f"{path}: archives compressed with zstd are not supported; decompress it first")
    compressed = _decompressing(path, magic)
    if compressed is None:
        return path
    plain = work / "archive.tar"
    with compressed as source, plain.open("wb") as target:
        shutil.copyfileobj(source, target, _CHUNK_BYTES)
    return plain


def _decompressing(path: Path, magic: bytes) -> IO[bytes] | None:
    if magic.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(path, "rb"))
    if magic.startswith(b"BZh"):
        return cast(IO[bytes], bz2.open(path, "rb"))
    if magic.startswith(b"\xfd7zX"):
        return cast(IO[bytes], lzma.open(path, "rb"))
    return None


def _has(source: _Source, name: str) -> bool:
    try:
        source.open(name).close()
    except NotFound:
        return False
    return True


class _Reader:
    def __init__(self, path: Path, layout: Layout, work: Path, architecture: str) -> None:
        self._path = path
        self._layout = layout
        self._work = work
        self._architecture = architecture

    def oci(self, source: _Source) -> list[Imported]:
        what = f"{self._path}: index.json"
        index = parse_manifest(self._document(source, "index.json"), what)
        if not isinstance(index, Index):
            raise InvalidArgument(f"{what}: not an image index")
        found: dict[str, Imported] = {}
        for descriptor in index.manifests:
            manifest, data = self._manifest(source, descriptor, 0)
            known = found.get(manifest.config.digest)
            if known is None:
                for blob in (manifest.config, *manifest.layers):
                    self._take(source, blob)
            found[manifest.config.digest] = Imported(
                manifest=manifest,
                manifest_data=data,
                target_digest=descriptor.digest,
                names=(*(known.names if known else ()), *_names(descriptor)),
            )
        if not found:
            raise InvalidArgument(f"{self._path}: there is no image in it")
        return list(found.values())

    def docker(self, source: _Source) -> list[Imported]:
        what = f"{self._path}: manifest.json"
        try:
            entries = json.loads(self._document(source, "manifest.json"))
        except ValueError as error:
            raise InvalidArgument(f"{what}: not JSON: {error}") from None
        if not isinstance(entries, list) or not entries:
            raise InvalidArgument(f"{what}: there is no image in it")
        return [self._docker_image(source, entry, what) for entry in entries]

    def _docker_image(self, source: _Source, entry: object, what: str) -> Imported:
        config_name = entry.get("Config") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(config_name, str):
            raise InvalidArgument(f"{what}: Config is missing")
        names, layer_names = (_strings(entry.get(key), f"{what}: {key}") for key in ("RepoTags", "Layers"))
        config_data = self._document(source, config_name)
        configuration = parse_configuration(config_data, str(self._path))
        if len(layer_names) != len(configuration.diff_ids):
            raise InvalidArgument(
                f"{what}: {len(layer_names)} layers, {len(configuration.diff_ids)} in the image configuration"
            )
        layers = [
            self._take_layer(source, name, diff_id)
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

    def _take_layer(self, source: _Source, name: str, diff_id: str) -> dict[str, str | int]:
        """A layer of a docker archive is normally plain, so that its digest is its diff id; anything else is named anew."""
        with source.open(name) as file:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            digest = _digest_of_file(file) if compressed else diff_id
            file.seek(0)
            kind = "application/vnd.docker.image.rootfs.diff.tar" + (".gzip" if compressed else "")
            blob = self._layout.blob(digest)
            if blob.exists():
                return _described(kind, digest, blob.stat().st_size)
            size = self._layout.add_blob(digest, _chunks(file), self._work, f"{self._path}: layer {name}")
            return _described(kind, digest, size)

    def _manifest(self, source: _Source, descriptor: Descriptor, depth: int) -> tuple[Manifest, bytes]:
        name = _blob_name(descriptor)
        data = self._document(source, name)
        if digest_of(data) != descriptor.digest:
            raise InvalidArgument(f"{self._path}: {name}: content has digest {digest_of(data)}")
        parsed = parse_manifest(data, f"{self._path}: {name}")
        if isinstance(parsed, Manifest):
            return parsed, data
        if depth == _MAX_INDEX_DEPTH:
            raise InvalidArgument(f"{self._path}: indexes within indexes, more than {_MAX_INDEX_DEPTH} deep")
        return self._manifest(source, parsed.for_host(str(self._path), self._architecture), depth + 1)

    def _take(self, source: _Source, blob: Descriptor) -> None:
        if self._layout.blob(blob.digest).exists():
            return
        name = _blob_name(blob)
        try:
            file = source.open(name)
        except NotFound:
            raise InvalidArgument(f"{self._path}: blob {blob.digest} is missing") from None
        with file:
            self._layout.add_blob(blob.digest, _chunks(file), self._work, f"{self._path}: {name}")

    def _document(self, source: _Source, name: str) -> bytes:
        try:
            file = source.open(name)
        except NotFound as error:
            raise InvalidArgument(f"{self._path}: {error}") from None
        with file:
            data = file.read(_MAX_DOCUMENT_BYTES + 1)
        if len(data) > _MAX_DOCUMENT_BYTES:
            raise InvalidArgument(f"{self._path}: {name} is larger than {_MAX_DOCUMENT_BYTES} bytes")
        return data


def _blob_name(blob: Descriptor) -> str:
    return "blobs/" + blob.digest.replace(":", "/", 1)


def _described(media_type: str, digest: str, size: int) -> dict[str, str | int]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _digest_of_file(file: IO[bytes]) -> str:
    hasher = hashlib.sha256()
    for chunk in _chunks(file):
        hasher.update(chunk)
    return f"sha256:{hasher.hexdigest()}"


def _names(descriptor: Descriptor) -> tuple[str, ...]:
    """The image's references: containerd's annotation, else the layout's where it is more than a bare tag."""
    full, short = descriptor.annotations.get(_FULL_NAME, ""), descriptor.annotations.get(_REF_NAME, "")
    if full:
        return (full,)
    return (short,) if "/" in short or ":" in short else ()


def _strings(value: object, what: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise InvalidArgument(f"{what}: not a list of strings")
    return tuple(value)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk
