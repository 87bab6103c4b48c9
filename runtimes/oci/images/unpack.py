"""Flatten an image's layers into one tree with umoci, once per image, whole or not at all.

umoci gets an OCI layout of its own: links to the layers and a manifest made for it, so that Docker's media types, shared
blobs and compressions that it does not know make no difference. A compressed layer is a named pipe there, which the audit
fills: inflating twice, and slowly in umoci, was half of the work. umoci must be told a layer's length beforehand: a gzip file
ends with it, others (zstd: quickly) are inflated once to find out. It works in a folder under tmp/, which becomes the image's
tree by one rename after everything is on disk.
"""

import asyncio
import contextlib
import dataclasses
import functools
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from runtimes.errors import Internal, InvalidArgument, NotSupported, ResourceExhausted, Timeout
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux import process
from runtimes.linux.files import replace_file, sync_file_system, sync_folder
from runtimes.linux.removal import remove_tree
from runtimes.linux.tasks import run_blocking
from runtimes.oci.images import layout as layouts
from runtimes.oci.images.audit import Layer, Usage, audit
from runtimes.oci.images.decompression import MAGIC_BYTES, DamagedStream, PlainStream, compression_of
from runtimes.oci.images.feed import unblock
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, digest_of

T = TypeVar("T")

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
    malicious, ResourceExhausted, NotSupported (no umoci), Timeout, Internal.
    """
    known = read_usage(layout, request.image_id)
    if known is not None:
        return known
    blobs = [Layer(path=layout.blob(digest), digest=digest, diff_id=diff_id) for digest, diff_id in request.layers]
    layers = await _readable(blobs, layout, work)
    fed = _piped(layers, work / "layout")
    try:
        usage = await _audited(umoci, fed, work)
    except Internal as error:
        if fed == layers:
            raise
        # Most likely a gzip file is longer than its end says (over 4 GiB, or of several members): umoci reads it itself.
        log.info("image %s is unpacked again without their pipes: %s", request.image_id, error)
        for folder in (work / "rootfs", work / "layout"):
            await run_blocking(remove_tree, folder)
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
    """What the image's tree takes; None when there is no tree. Blocks.

    The tree came there whole, with the file beside it: where that cannot be read, the tree is measured and the file made again.
    """
    path = layout.usage(image_id)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Usage)
    except FileNotFoundError:
        pass
    except (OSError, *UNREADABLE) as error:
        log.warning("%s cannot be read and is made anew: %s", path, error)
    if not layout.rootfs(image_id).is_dir():
        return None
    usage = _measured(layout.rootfs(image_id))
    remove_tree(path)
    replace_file(path, msgspec.json.encode(usage), beside=layout.tmp)
    return usage


def _measured(tree: Path) -> Usage:
    found = [os.lstat(tree)]
    for _, _, _, fd in os.fwalk(tree, onerror=_stop):
        with os.scandir(fd) as entries:
            found += [entry.stat(follow_symlinks=False) for entry in entries]
    return Usage(bytes=sum(each.st_blocks * 512 for each in found), inodes=len(found))


def _stop(error: OSError) -> None:
    raise error


def _piped(layers: Sequence[Layer], folder: Path) -> list[Layer]:
    """The layers with a pipe also for each gzip file that is worth one and whose length is known."""
    found = []
    for layer in layers:
        length = _length(layer.path) if _may_be_piped(layer, layers) else 0
        found.append(_with_pipe(layer, folder, length) if length else layer)
    return found


def _length(path: Path) -> int:
    """How long a gzip file says that its plain content is; 0 for other files, and for those so large that it may be wrong."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(2) != b"\x1f\x8b" or not _GZIP_FRAME_BYTES < size < _LARGEST_PIPED_BYTES:
            return 0
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")


def _may_be_piped(layer: Layer, layers: Sequence[Layer]) -> bool:
    """Two equal ones would share a pipe."""
    return layer.diff_id.startswith("sha256:") and [x.diff_id for x in layers].count(layer.diff_id) == 1


def _with_pipe(layer: Layer, folder: Path, plain_bytes: int) -> Layer:
    pipe = folder / "blobs" / layer.diff_id.replace(":", "/", 1)
    return dataclasses.replace(layer, pipe=pipe, plain_bytes=plain_bytes)


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
        if layouts.DISK_FULL in answer:
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
        kind = OCI_LAYER + ("+gzip" if _compression(layer) == "gzip" else "")
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
    sync_file_system(layout.root)
    try:
        finished.rename(layout.tree(image_id))
    except OSError:
        known = read_usage(layout, image_id)
        if known is None:
            raise
        return known  # another process was faster
    sync_folder(layout.unpacked)
    return usage


async def _readable(layers: Sequence[Layer], layout: Layout, work: Path) -> list[Layer]:
    """The layers as umoci can read them: it knows plain and gzip; all else is inflated on its way, or beforehand."""
    free_bytes = os.statvfs(layout.root).f_bavail * os.statvfs(layout.root).f_frsize
    found: list[Layer] = []
    for layer in layers:
        if _compression(layer) not in ("", "gzip"):
            plain_bytes = await _in_thread(functools.partial(_measure, layer, free_bytes))
            if _may_be_piped(layer, layers):
                layer = _with_pipe(layer, work / "layout", plain_bytes)
            else:
                plain = work / f"{layer.diff_id.replace(':', '-')}.tar"
                await _in_thread(functools.partial(_write_plain, layer, plain))
                layer = Layer(path=plain, digest=layer.diff_id, diff_id=layer.diff_id)
        found.append(layer)
    return found


async def _in_thread(work: Callable[[threading.Event], T]) -> T:
    """`work` in a thread; it is told to stop, and waited for, when the caller is cancelled."""
    stop = threading.Event()
    working = asyncio.create_task(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(working)
    finally:
        stop.set()
        await asyncio.wait({working})


def _measure(layer: Layer, free_bytes: int, stop: threading.Event) -> int:
    """How long the plain layer is. What cannot fit is not written to find that out. Raises ResourceExhausted."""
    total = 0
    for chunk in _pieces(layer, stop):
        total += len(chunk)
        if total > free_bytes:
            raise ResourceExhausted(
                f"layer {layer.digest} needs more than the {free_bytes} bytes that are free: no space left on device"
            )
    return total


def _write_plain(layer: Layer, plain: Path, stop: threading.Event) -> None:
    with plain.open("wb") as target:
        for chunk in _pieces(layer, stop):
            target.write(chunk)


def _pieces(layer: Layer, stop: threading.Event) -> Iterator[bytes]:
    with contextlib.closing(PlainStream(layer.path)) as stream:
        try:
            while not stop.is_set() and (chunk := stream.read()):
                yield chunk
        except DamagedStream as error:
            raise InvalidArgument(f"layer {layer.digest} is damaged: {error}") from None


def _compression(layer: Layer) -> str:
    try:
        with layer.path.open("rb") as file:
            return compression_of(file.read(MAGIC_BYTES))
    except FileNotFoundError:
        raise InvalidArgument(f"layer {layer.digest} is missing") from None
