"""Images made in memory: layers as tars, packed as OCI has it, written as an archive. Standard library only.

The same contents give the same bytes, and so the same image id.
"""

import gzip
import hashlib
import io
import json
import platform
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


def write_archive(
    out: Path, layers: Sequence[bytes], *, tag: str, config: Mapping[str, object], architecture: str = ""
) -> str:
    """Write an OCI archive of layers given as plain tars, lowest first; return the image id."""
    image = pack(layers, config=config, architecture=architecture)
    index = {"schemaVersion": 2, "manifests": [{**image.manifest, "annotations": _annotations(tag)}]}
    members = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": _json(index)}
    members |= {f"blobs/{digest.replace(':', '/')}": data for digest, data in image.blobs.items()}
    _write(out, members)
    return image.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """`id`: the digest of its configuration. `manifest`: the descriptor of its manifest. `blobs`: all of it, by digest."""

    id: str
    manifest: Mapping[str, object]
    blobs: Mapping[str, bytes]


def pack(layers: Sequence[bytes], *, config: Mapping[str, object], architecture: str = "") -> Image:
    """An image of layers given as plain tars, lowest first."""
    configuration = {
        "architecture": architecture or _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
    }
    blobs: dict[str, bytes] = {}
    described = _add(blobs, _json(configuration), "application/vnd.oci.image.config.v1+json")
    packed = [gzip.compress(layer, compresslevel=1, mtime=0) for layer in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described,
        "layers": [_add(blobs, layer, "application/vnd.oci.image.layer.v1.tar+gzip") for layer in packed],
    }
    entry = _add(blobs, _json(manifest), "application/vnd.oci.image.manifest.v1+json")
    return Image(id=str(described["digest"]), manifest=entry, blobs=blobs)


def add_file(archive: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    """A file of root's."""
    entry = member(name, tarfile.REGTYPE, mode)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    """An entry of root's, of a type of `tarfile`."""
    made = tarfile.TarInfo(name)
    made.type, made.mode = kind, mode
    made.uname = made.gname = "root"
    return made


def _annotations(tag: str) -> dict[str, str]:
    return {"io.containerd.image.name": tag, "org.opencontainers.image.ref.name": tag}


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _add(blobs: dict[str, bytes], data: bytes, media_type: str) -> dict[str, object]:
    digest = _digest(data)
    blobs[digest] = data
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _write(out: Path, members: Mapping[str, bytes]) -> None:
    with tempfile.NamedTemporaryFile(dir=out.parent, prefix=f".{out.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                for name, data in members.items():
                    add_file(archive, name, data, 0o644)
            temporary.chmod(0o644)
            temporary.rename(out)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
