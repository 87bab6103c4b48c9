"""Flatten an image's layers into one tree with umoci, once per image, whole or not at all.

umoci gets an OCI layout of its own: links to the layers and a manifest made for it, so that Docker's media types, shared
blobs and compressions that it does not know make no difference. It works in a folder under tmp/, which becomes the image's
tree by one rename after everything is on disk.
"""

import asyncio
import bz2
import json
import lzma
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cni import process
from runtimes.errors import Internal, InvalidArgument, NotSupported, ResourceExhausted, Timeout
from runtimes.oci.images import layout as files
from runtimes.oci.images.audit import Layer, Usage, audit
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, digest_of

_BASE_SECONDS = 120.0
_SLOWEST_BYTES_PER_SECOND = 1024 * 1024  # of compressed layers: a tenth of a slow SD card


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackRequest:
    """An image whose blobs are all there. `layers` pairs blob digests with the digests of their plain tars, lowest first."""

    image_id: str
    layers: tuple[tuple[str, str], ...]


async def unpack(request: UnpackRequest, layout: Layout, work: Path, *, umoci: str = "umoci") -> Usage:
    """Make the image's tree where it is not there; returns what it takes.

    `work` is a folder under tmp/, on the store's file system. Raises InvalidArgument for images that are broken or
    malicious, ResourceExhausted, NotSupported (zstd without the program), Timeout, Internal.
    """
    known = read_usage(layout, request.image_id)
    if known is not None:
        return known
    layers = [await _plain_or_gzip(digest, diff_id, layout, work) for digest, diff_id in request.layers]
    await asyncio.to_thread(_write_layout, layers, work / "layout", request.image_id)
    stop = threading.Event()
    async with _Stopping(stop), asyncio.TaskGroup() as group:
        checking = group.create_task(asyncio.to_thread(audit, layers, stop))
        group.create_task(_umoci(umoci, layers, work))
    return await asyncio.to_thread(_publish, checking.result(), layout, request.image_id, work)


def read_usage(layout: Layout, image_id: str) -> Usage | None:
    """What the image's tree takes; None when there is no tree."""
    try:
        return msgspec.json.decode(layout.usage(image_id).read_bytes(), type=Usage)
    except FileNotFoundError:
        return None


class _Stopping:
    """Sets the event on the way out, and turns a group's errors into the one to tell: the audit's before umoci's."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._stop.set()
        if isinstance(error, BaseExceptionGroup):
            refused = [e for e in error.exceptions if isinstance(e, InvalidArgument)]
            raise (refused or error.exceptions)[0] from None


async def _umoci(umoci: str, layers: Sequence[Layer], work: Path) -> None:
    size = sum(layer.path.stat().st_size for layer in layers)
    try:
        # Relative paths: a colon in the store's own path would end the image's name.
        done = await process.run(
            [umoci, "raw", "unpack", "--image", "layout:image", "rootfs"],
            timeout_seconds=_BASE_SECONDS + size / _SLOWEST_BYTES_PER_SECOND,
            cwd=str(work),
        )
    except process.ProgramNotFound as error:
        raise NotSupported(str(error)) from None
    except process.ProcessTimeout as error:
        raise Timeout(f"unpacking the image: {error}") from None
    if not done.ok:
        answer = done.error_text.rpartition("⨯")[2].strip()
        if files.DISK_FULL in answer:
            raise ResourceExhausted(f"unpacking the image: {answer}")
        raise Internal(f"umoci cannot unpack the image: {answer}")


def _write_layout(layers: Sequence[Layer], folder: Path, image_id: str) -> None:
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (folder / "blobs" / "sha512").mkdir()
    descriptors = []
    for layer in layers:
        link = folder / "blobs" / layer.digest.replace(":", "/", 1)
        if not link.is_symlink():
            link.symlink_to(layer.path)
        with layer.path.open("rb") as file:
            kind = OCI_LAYER + ("+gzip" if file.read(2) == b"\x1f\x8b" else "")
        descriptors.append({"mediaType": kind, "digest": layer.digest, "size": layer.path.stat().st_size})
    config = {"os": "linux", "architecture": "", "rootfs": {"type": "layers", "diff_ids": [x.diff_id for x in layers]}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _put(blobs, config, OCI_CONFIG),
        "layers": descriptors,
    }
    entry = _put(blobs, manifest, OCI_MANIFEST) | {"annotations": {"org.opencontainers.image.ref.name": "image"}}
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def _put(blobs: Path, document: object, media_type: str) -> dict[str, Any]:
    data = json.dumps(document).encode()
    digest = digest_of(data)
    (blobs / digest.partition(":")[2]).write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _publish(usage: Usage, layout: Layout, image_id: str, work: Path) -> Usage:
    finished = work / "finished"
    finished.mkdir()
    (work / "rootfs").rename(finished / "rootfs")
    (finished / "usage.json").write_bytes(msgspec.json.encode(usage))
    # After a power cut the record must not speak of files that are empty.
    files.sync_file_system(layout.root)
    try:
        finished.rename(layout.tree(image_id))
    except OSError:
        known = read_usage(layout, image_id)
        if known is None:
            raise
        return known  # another process was faster
    files.sync_folder(layout.unpacked)
    return usage


async def _plain_or_gzip(digest: str, diff_id: str, layout: Layout, work: Path) -> Layer:
    """The layer as umoci and the audit can read it: where it is compressed in another way, its plain tar under `work`."""
    blob = layout.blob(digest)
    try:
        with blob.open("rb") as file:
            magic = file.read(6)
    except FileNotFoundError:
        raise InvalidArgument(f"layer {digest} is missing") from None
    plain = work / f"{diff_id.replace(':', '-')}.tar"
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        await _unzstd(digest, blob, plain)
    elif magic.startswith((b"BZh", b"\xfd7zXZ\0")):
        await asyncio.to_thread(_decompress, digest, blob, plain)
    else:
        return Layer(path=blob, digest=digest, diff_id=diff_id)
    return Layer(path=plain, digest=diff_id, diff_id=diff_id)


async def _unzstd(digest: str, blob: Path, plain: Path) -> None:
    limit = _BASE_SECONDS + blob.stat().st_size / _SLOWEST_BYTES_PER_SECOND
    try:
        done = await process.run(["zstd", "-d", "-q", "-f", "-o", str(plain), str(blob)], timeout_seconds=limit)
    except process.ProgramNotFound:
        raise NotSupported(f"layer {digest} is compressed with zstd, and the program zstd is not installed") from None
    except process.ProcessTimeout as error:
        raise Timeout(f"layer {digest}: {error}") from None
    if not done.ok:
        if files.DISK_FULL.capitalize() in done.error_text:
            raise ResourceExhausted(f"layer {digest}: {done.error_text}")
        raise InvalidArgument(f"layer {digest} is damaged: {done.error_text}")


def _decompress(digest: str, blob: Path, plain: Path) -> None:
    opener = bz2.open if blob.open("rb").read(3) == b"BZh" else lzma.open
    try:
        with opener(blob, "rb") as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target, 1024 * 1024)
    except (lzma.LZMAError, EOFError) as error:
        raise InvalidArgument(f"layer {digest} is damaged: {error}") from None
