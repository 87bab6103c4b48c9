"""Manifests, image indexes and image configurations: read, checked, and reduced to what the store needs.

Source: OCI image specification 1.0 and Docker's image manifest version 2, schema 2, which differ only in media types.
Whatever does not fit raises InvalidArgument with the offending part; nothing here touches the disk.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtimes.errors import InvalidArgument
from runtimes.kube.image_reference import is_digest
from runtimes.oci.images.contract import ImageConfig
from runtimes.oci.images.platforms import Host

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"


class NotAnImage(InvalidArgument):
    """A manifest of something else: a signature, a chart."""


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def matches_digest(data: bytes, digest: str) -> bool:
    """Whether `data` is what a well-formed digest names."""
    algorithm, _, wanted = digest.partition(":")
    return hashlib.new(algorithm, data).hexdigest() == wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A blob by digest. `name` is a reference that an index gives it, or empty; `platform` os/architecture/variant."""

    media_type: str
    digest: str
    size_bytes: int
    platform: tuple[str, str, str] | None = None
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One image for one platform: its configuration and its layers, lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    manifests: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """An image's configuration with the digests of its layers' uncompressed tars, lowest first."""

    config: ImageConfig
    diff_ids: tuple[str, ...]


def parse_manifest(data: bytes, what: str) -> Manifest | Index:
    """A manifest or an index, told apart by what it contains. `what` names it in errors."""
    document = _object(data, what)
    if document.get("schemaVersion") != 2:
        raise InvalidArgument(f"{what}: manifest schema {document.get('schemaVersion')!r} is not supported")
    if "manifests" in document:
        return Index(manifests=tuple(_descriptor(m, f"{what}: manifests") for m in _list(document, "manifests", what)))
    if "config" not in document:
        raise InvalidArgument(f"{what}: neither an image manifest nor an index")
    config = _descriptor(document["config"], f"{what}: config")
    if config.media_type not in (OCI_CONFIG, DOCKER_CONFIG):
        raise NotAnImage(f"{what}: not a container image (its config is {config.media_type or 'untyped'})")
    layers = tuple(_descriptor(layer, f"{what}: layers") for layer in _list(document, "layers", what))
    return Manifest(config=config, layers=layers)


def parse_configuration(data: bytes, what: str) -> Configuration:
    """An image configuration blob."""
    document = _object(data, f"{what}: image configuration")
    where = f"{what}: image configuration"
    rootfs = document.get("rootfs")
    if not isinstance(rootfs, dict):
        raise InvalidArgument(f"{where}: rootfs is missing")
    diff_ids = tuple(str(d) for d in _list(rootfs, "diff_ids", where))
    for diff_id in diff_ids:
        if not is_digest(diff_id):
            raise InvalidArgument(f"{where}: rootfs.diff_ids: {diff_id!r} is not a digest")
    inner = document.get("config") or {}
    if not isinstance(inner, dict):
        raise InvalidArgument(f"{where}: config is not an object")
    config = ImageConfig(
        architecture=_text(document, "architecture", where),
        os=_text(document, "os", where),
        variant=_text(document, "variant", where),
        entrypoint=_texts(inner, "Entrypoint", where),
        cmd=_texts(inner, "Cmd", where),
        env=_texts(inner, "Env", where),
        user=_text(inner, "User", where),
        working_dir=_text(inner, "WorkingDir", where),
        stop_signal=_text(inner, "StopSignal", where),
        volumes=_keys(inner, "Volumes", where),
        exposed_ports=_keys(inner, "ExposedPorts", where),
        labels=_strings(inner, "Labels", where),
    )
    return Configuration(config=config, diff_ids=diff_ids)


def check(manifest: Manifest, configuration: Configuration, what: str, host: Host) -> None:
    """Whether the image is whole and runs here. Raises InvalidArgument."""
    config = configuration.config
    # By architecture only: whoever chose among variants did so by what an index says, which is right where both differ.
    if Host(architecture=host.architecture).rank((config.os, config.architecture, "")) is None:
        raise InvalidArgument(f"{what} is for {config.os or '?'}/{config.architecture or '?'}, this node is {host}")
    if len(configuration.diff_ids) != len(manifest.layers):
        raise InvalidArgument(
            f"{what}: {len(manifest.layers)} layers in the manifest, "
            f"{len(configuration.diff_ids)} in the image configuration"
        )


def _object(data: bytes, what: str) -> dict[str, object]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{what}: not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidArgument(f"{what}: not a JSON object")
    return document


def _descriptor(value: object, what: str) -> Descriptor:
    if not isinstance(value, dict):
        raise InvalidArgument(f"{what}: a descriptor is not an object")
    digest, size = value.get("digest"), value.get("size")
    if not isinstance(digest, str) or not is_digest(digest):
        raise InvalidArgument(f"{what}: {digest!r} is not a digest")
    if not isinstance(size, int) or size < 0:
        raise InvalidArgument(f"{what}: {digest}: size {size!r} is not a number of bytes")
    place = value.get("platform")
    return Descriptor(
        media_type=_text(value, "mediaType", what),
        digest=digest,
        size_bytes=size,
        platform=None
        if not isinstance(place, dict)
        else (_text(place, "os", what), _text(place, "architecture", what), _text(place, "variant", what)),
        annotations=_strings(value, "annotations", what),
    )


def _list(document: Mapping[str, object], key: str, what: str) -> Sequence[object]:
    value = document.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidArgument(f"{what}: {key} is not a list")
    return value


def _text(document: Mapping[str, object], key: str, what: str) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidArgument(f"{what}: {key} is not a string")
    return value


def _texts(document: Mapping[str, object], key: str, what: str) -> tuple[str, ...]:
    values = _list(document, key, what)
    if not all(isinstance(v, str) for v in values):
        raise InvalidArgument(f"{what}: {key} is not a list of strings")
    return tuple(str(v) for v in values)


def _keys(document: Mapping[str, object], key: str, what: str) -> tuple[str, ...]:
    value = document.get(key) or {}
    if not isinstance(value, dict):
        raise InvalidArgument(f"{what}: {key} is not an object")
    return tuple(sorted(value))


def _strings(document: Mapping[str, object], key: str, what: str) -> Mapping[str, str]:
    value = document.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise InvalidArgument(f"{what}: {key} is not an object of strings")
    return value
