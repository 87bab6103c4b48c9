"""Images and layers made by hand, byte for byte as a test wants them."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
from pathlib import Path
from typing import Any

import zstandard

KINDS = {
    "file": tarfile.REGTYPE,
    "symlink": tarfile.SYMTYPE,
    "link": tarfile.LNKTYPE,
    "dir": tarfile.DIRTYPE,
    "char": tarfile.CHRTYPE,
    "fifo": tarfile.FIFOTYPE,
}


# (kind, name, data of a file or target of a link, {mode, uid, gid, device, xattrs}), the last two optional
Entry = tuple[Any, ...]


def make_layer(*entries: Entry) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for kind, name, *rest in entries:
            value = rest[0] if rest else ""
            more: dict[str, Any] = rest[1] if len(rest) > 1 else {}
            member = tarfile.TarInfo(name)
            member.type = KINDS[kind]
            member.mode = more.get("mode", 0o755 if kind == "dir" else 0o644)
            member.uid, member.gid = more.get("uid", 0), more.get("gid", 0)
            member.devmajor, member.devminor = more.get("device", (0, 0))
            member.pax_headers = {f"SCHILY.xattr.{key}": text for key, text in more.get("xattrs", {}).items()}
            if kind in ("symlink", "link"):
                member.linkname = value
            data = value.encode(errors="surrogateescape") if kind == "file" else b""
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def compressed(plain: bytes, how: str) -> bytes:
    """A layer as "", "gzip", "estargz" (several members, an empty last one), "zstd", "zstd-unknown" (a frame that does not
    tell its length), "zstd:chunked" (frames, and a table that is skipped), "xz" or "bzip2"."""
    half = len(plain) // 2
    match how:
        case "":
            return plain
        case "gzip":
            return gzip.compress(plain, mtime=0)
        case "estargz":
            return b"".join(gzip.compress(part, mtime=0) for part in (plain[:half], plain[half:], b""))
        case "zstd":
            return zstandard.compress(plain)
        case "zstd-unknown":
            packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
            return packer.compress(plain) + packer.flush()
        case "zstd:chunked":
            table = b'{"version":1}'
            skipped = b"\x50\x2a\x4d\x18" + len(table).to_bytes(4, "little") + table
            return zstandard.compress(plain[:half]) + zstandard.compress(plain[half:]) + skipped
        case "xz":
            return lzma.compress(plain)
        case "bzip2":
            return bz2.compress(plain)
    raise AssertionError(how)


OCI, DOCKER = "application/vnd.oci.image.", "application/vnd.docker."
_LAYER_SUFFIX = {"": "", "gzip": "+gzip", "estargz": "+gzip"}


class OCILayout:
    """An OCI image layout that is put together piece by piece: `image` and `index` return descriptors."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def blob(self, data: bytes, kind: str, **more: Any) -> dict[str, Any]:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.files["blobs/" + digest.replace(":", "/")] = data
        return {"mediaType": kind, "digest": digest, "size": len(data), **more}

    def image(
        self, *layers: tuple[bytes, str], platform: str, config: Any = None, docker: bool = False
    ) -> dict[str, Any]:
        """An image of (plain tar, compression as of `compressed`) layers, lowest first."""
        os, architecture, *variant = platform.split("/")
        document = {
            "os": os,
            "architecture": architecture,
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(x).hexdigest() for x, _ in layers]},
        }
        if variant:
            document["variant"] = variant[0]
        kinds = {
            how: f"{DOCKER}image.rootfs.diff.tar{_LAYER_SUFFIX.get(how, '.zstd').replace('+', '.')}"
            if docker
            else f"{OCI}layer.v1.tar{_LAYER_SUFFIX.get(how, '+zstd')}"
            for _, how in layers
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{DOCKER}distribution.manifest.v2+json" if docker else f"{OCI}manifest.v1+json",
            "config": self.blob(
                json.dumps(document).encode(), f"{DOCKER}container.image.v1+json" if docker else f"{OCI}config.v1+json"
            ),
            "layers": [self.blob(compressed(plain, how), kinds[how]) for plain, how in layers],
        }
        return self.blob(json.dumps(manifest).encode(), str(manifest["mediaType"]))

    def attestation(self) -> dict[str, Any]:
        """What buildkit puts beside every image."""
        statement = self.blob(b"{}", "application/vnd.in-toto+json")
        config = {
            "os": "unknown",
            "architecture": "unknown",
            "rootfs": {"type": "layers", "diff_ids": [statement["digest"]]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}manifest.v1+json",
            "config": self.blob(json.dumps(config).encode(), f"{OCI}config.v1+json"),
            "layers": [statement],
        }
        described = self.blob(json.dumps(manifest).encode(), f"{OCI}manifest.v1+json")
        return for_platform(described, "unknown/unknown") | {
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"}
        }

    def index(self, *entries: dict[str, Any], docker: bool = False) -> dict[str, Any]:
        kind = f"{DOCKER}distribution.manifest.list.v2+json" if docker else f"{OCI}index.v1+json"
        return self.blob(json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode(), kind)

    def write(self, path: Path, *entries: dict[str, Any], **more: bytes) -> Path:
        """The layout with those entries in its index.json: a tar, or a folder where `path` has no suffix."""
        files = {**self.files, "index.json": json.dumps({"schemaVersion": 2, "manifests": entries}).encode(), **more}
        if not path.suffix:
            for name, data in files.items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(data)
            return path
        with tarfile.open(path, "w") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return path


def for_platform(descriptor: dict[str, Any], platform: str) -> dict[str, Any]:
    """The descriptor with a platform "os/architecture[/variant]"."""
    return {**descriptor, "platform": dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))}


def named(descriptor: dict[str, Any], *, full: str = "", short: str = "") -> dict[str, Any]:
    """The descriptor with containerd's name, and the one of the OCI layout."""
    names = {"io.containerd.image.name": full, "org.opencontainers.image.ref.name": short}
    return {**descriptor, "annotations": {key: name for key, name in names.items() if name}}
