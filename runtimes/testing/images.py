"""Images of this machine's static busybox, as OCI archives: without a registry and without root. Standard library only.

An image holds busybox with a symbolic link for every applet, users root and nobody, /www/index.html and a world-writable /tmp.
The same busybox gives the same bytes, and so the same image id.
"""

import gzip
import hashlib
import io
import json
import platform
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DEFAULT_TAG = "localhost/demo:1"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_FOLDERS = {
    **dict.fromkeys(
        ("bin", "dev", "etc", "home", "proc", "run", "sys", "usr", "usr/bin", "usr/sbin", "var", "www"), 0o755
    ),
    "root": 0o700,
    "sbin": 0o755,
    "tmp": 0o1777,
    "var/tmp": 0o1777,
}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "www/index.html": "<!doctype html><title>nodeagent</title><h1>It runs.</h1>\n",
}


def build(
    out: Path,
    *,
    tag: str = DEFAULT_TAG,
    busybox: Path = Path("/bin/busybox"),
    files: Mapping[str, str] | None = None,
    config: Mapping[str, object] | None = None,
) -> str:
    """Write the archive and return the image id. `files` adds files, `config` entries of the OCI image configuration."""
    return write_archive(out, [layer_of(busybox, files)], tag=tag, config=configuration_of(config))


def layer_of(busybox: Path = Path("/bin/busybox"), files: Mapping[str, str] | None = None) -> bytes:
    """The image's one layer, as a plain tar."""
    return _layer(busybox, {**_FILES, **(files or {})})


def configuration_of(config: Mapping[str, object] | None = None) -> dict[str, object]:
    """The entries of the OCI image configuration, with those changes."""
    return {
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": ["/bin/sh"],
        "Labels": {"org.opencontainers.image.title": "nodeagent demo"},
        **(config or {}),
    }


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


def _layer(busybox: Path, files: Mapping[str, str]) -> bytes:
    listing = subprocess.run([busybox, "--list-full"], check=True, capture_output=True, text=True, timeout=10).stdout
    folders = dict(_FOLDERS)
    for name in (*listing.split(), *files):
        for parent in Path(name).parents:
            folders.setdefault(str(parent), 0o755)
    folders.pop(".", None)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(folders):
            archive.addfile(_member(name, tarfile.DIRTYPE, folders[name]))
        _add_file(archive, "bin/busybox", busybox.read_bytes(), 0o755)
        for name in sorted(set(listing.split()) - {"bin/busybox"}):
            link = _member(name, tarfile.SYMTYPE, 0o777)
            link.linkname = "/bin/busybox"
            archive.addfile(link)
        for name, text in sorted(files.items()):
            _add_file(archive, name, text.encode(), 0o644)
    return stream.getvalue()


def _add_file(archive: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    member = _member(name, tarfile.REGTYPE, mode)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = kind, mode
    member.uname = member.gname = "root"
    return member


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
                    _add_file(archive, name, data, 0o644)
            temporary.chmod(0o644)
            temporary.rename(out)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
