"""Flatten an image's layers into one tree, once per image, whole or not at all.

The work is another program's (`unpacker.py`). It happens in a folder under tmp/, which becomes the image's tree by one rename
after everything is on disk.
"""

import asyncio
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

import runtimes
from runtimes.errors import Internal, InvalidArgument, NotSupported, ResourceExhausted, Timeout
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux import process
from runtimes.linux.files import replace_file, sync_file_system, sync_folder
from runtimes.linux.removal import remove_tree
from runtimes.oci.images.layer_entries import Usage
from runtimes.oci.images.layout import Layout

_BASE_SECONDS = 120.0
_SLOWEST_BYTES_PER_SECOND = 1024 * 1024  # of compressed layers: a tenth of a slow SD card
_CODE = Path(runtimes.__file__).parents[1]
# Have the C library keep the memory of a piece for the next one: half of the unpacker's own system time was page faults.
_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024), "MALLOC_TRIM_THRESHOLD_": str(128 * 1024 * 1024)}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackRequest:
    """An image whose blobs are all there. `layers` pairs blob digests with the digests of their plain tars, lowest first."""

    image_id: str
    layers: tuple[tuple[str, str], ...]


class _Answer(msgspec.Struct, frozen=True):
    """What the unpacker says: how much it has unpacked, or why it could not."""

    bytes: int = 0
    inodes: int = 0
    invalid: str = ""
    full: str = ""


async def unpack(request: UnpackRequest, layout: Layout, work: Path, *, python: str = sys.executable) -> Usage:
    """Make the image's tree where it is not there; returns what it takes.

    `work` is a folder under tmp/, on the store's file system. Raises InvalidArgument for images that are broken or
    malicious, ResourceExhausted, NotSupported (no such python), Timeout, Internal.
    """
    known = read_usage(layout, request.image_id)
    if known is not None:
        return known
    (work / "rootfs").mkdir(mode=0o755)
    usage = await _unpacked(request, layout, work, python)
    return await asyncio.to_thread(_publish, usage, layout, request.image_id, work)


async def _unpacked(request: UnpackRequest, layout: Layout, work: Path, python: str) -> Usage:
    try:
        done = await process.run(
            [python, "-P", "-m", "runtimes.oci.images.unpacker"],
            stdin=msgspec.json.encode({"blobs": str(layout.blobs), "layers": request.layers}),
            timeout_seconds=_BASE_SECONDS + _size(request, layout) / _SLOWEST_BYTES_PER_SECOND,
            cwd=str(work),
            env={**os.environ, **_MEMORY, "PYTHONPATH": str(_CODE)},
        )
    except process.ProgramNotFound as error:
        raise NotSupported(str(error)) from None
    except process.ProcessTimeout as error:
        raise Timeout(f"unpacking the image: {error}") from None
    if not done.ok:
        raise Internal(f"the image cannot be unpacked: {done.error_text}")
    answer = msgspec.json.decode(done.stdout, type=_Answer)
    if answer.invalid:
        raise InvalidArgument(answer.invalid)
    if answer.full:
        raise ResourceExhausted(f"unpacking the image: {answer.full}")
    return Usage(bytes=answer.bytes, inodes=answer.inodes)


def _size(request: UnpackRequest, layout: Layout) -> int:
    try:
        return sum(layout.blob(digest).stat().st_size for digest, _ in request.layers)
    except FileNotFoundError as error:
        raise InvalidArgument(f"layer {error.filename} is missing") from None


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
