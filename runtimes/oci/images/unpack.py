"""Flatten an image's layers into one tree with umoci, once per image, whole or not at all.

umoci gets an OCI layout of its own: links to the layers and a manifest made for it, so that Docker's media types, shared
blobs and compressions that it does not know make no difference. A gzip layer is a named pipe there, which the audit fills:
inflating twice, and slowly in umoci, was half of the work. It works in a folder under tmp/, which becomes the image's
tree by one rename after everything is on disk.
"""

import asyncio
import bz2
import dataclasses
import json
import logging
import lzma
import os
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
from runtimes.oci.images.feed import unblock
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, digest_of

_BASE_SECONDS = 120.0
_SLOWEST_BYTES_PER_SECOND = 1024 * 1024  # of compressed layers: a tenth of a slow SD card
_GZIP_FRAME_BYTES = 18
_LARGEST_PIPED_BYTES = 512 * 1024 * 1024  # a gzip file tells its length modulo 4 GiB

log = logging.getLogger(__name__)


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
    fed = _piped(layers, work / "layout")
    try:
        usage = await _audited(umoci, fed, work)
    except Internal as error:
        if fed == layers:
            raise
        # Most likely the gzip file is longer than its end says (over 4 GiB, or of several members): umoci reads it itself.
        log.info("image %s is unpacked again without pipes: %s", request.image_id, error)
        for folder in (work / "rootfs", work / "layout"):
            await files.remove_tree(folder)
        usage = await _audited(umoci, layers, work)
    return await asyncio.to_thread(_publish, usage, layout, request.image_id, work)


async def _audited(umoci: str, layers: Sequence[Layer], work: Path) -> Usage:
    """Audit and unpack side by side. An error of the audit counts more than umoci's, which may follow from it."""
    await asyncio.to_thread(_write_layout, layers, work / "layout")
    stop = threading.Event()
    checking = asyncio.create_task(asyncio.to_thread(audit, layers, stop))
    unpacking = asyncio.create_task(_umoci(umoci, layers, work))
    both: set[asyncio.Task[Any]] = {checking, unpacking}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
        if unpacking.done() and isinstance(unpacking.exception(), Internal):
            await asyncio.wait({checking})  # it may know why
        if checking.done():
            checking.result()
        await unpacking
        return checking.result()
    finally:
        stop.set()
        unpacking.cancel()
        await asyncio.wait(both)


def read_usage(layout: Layout, image_id: str) -> Usage | None:
    """What the image's tree takes; None when there is no tree."""
    try:
        return msgspec.json.decode(layout.usage(image_id).read_bytes(), type=Usage)
    except FileNotFoundError:
        return None


def _piped(layers: Sequence[Layer], folder: Path) -> list[Layer]:
    """The layers with a pipe for each that is worth one and whose length is known. Two equal ones would share a pipe."""
    plain = [layer.diff_id for layer in layers]
    found = []
    for layer in layers:
        length = _length(layer.path)
        if length and layer.diff_id.startswith("sha256:") and plain.count(layer.diff_id) == 1:
            pipe = folder / "blobs" / layer.diff_id.replace(":", "/", 1)
            layer = dataclasses.replace(layer, pipe=pipe, plain_bytes=length)
        found.append(layer)
    return found


def _length(path: Path) -> int:
    """How long a gzip file says that its plain content is; 0 for other files, and for those so large that it may be wrong."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(2) != b"\x1f\x8b" or not _GZIP_FRAME_BYTES < size < _LARGEST_PIPED_BYTES:
            return 0
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")


async def _umoci(umoci: str, layers: Sequence[Layer], work: Path) -> None:
    try:
        await _run_umoci(umoci, layers, work)
    finally:
        unblock(layer.pipe for layer in layers if layer.pipe is not None)


async def _run_umoci(umoci: str, layers: Sequence[Layer], work: Path) -> None:
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


def _write_layout(layers: Sequence[Layer], folder: Path) -> None:
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (folder / "blobs" / "sha512").mkdir()
    descriptors = []
    for layer in layers:
        if layer.pipe is not None:
            os.mkfifo(layer.pipe, 0o600)
            descriptors.append({"mediaType": OCI_LAYER, "digest": layer.diff_id, "size": layer.plain_bytes})
            continue
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
