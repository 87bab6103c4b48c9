"""The store's images as CRI messages."""

import json
import os
import time
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes.oci.ids import as_number
from runtimes.oci.images.contract import ImageRecord
from runtimes.oci.images.layout import Layout


def image(record: ImageRecord) -> cri.Image:
    message = cri.Image(
        id=record.id,
        repo_tags=record.tags,
        repo_digests=record.digests,
        size=record.size_bytes,
        pinned=record.pinned,
    )
    user = record.config.user.partition(":")[0]
    number = as_number(user)
    if number is not None:
        message.uid.value = number
    else:
        message.username = user
    return message


def status(record: ImageRecord, layout: Layout, *, verbose: bool) -> cri.ImageStatusResponse:
    """With `verbose`, `info["info"]` is a JSON object with the image configuration as it is stored. Blocks."""
    response = cri.ImageStatusResponse(image=image(record))
    if verbose:
        specification = json.loads(layout.blob(record.id).read_bytes())
        response.info["info"] = json.dumps({"imageSpec": specification, "rootfs": str(record.rootfs)})
    return response


def file_system(records: list[ImageRecord], layout: Layout, layers: Path) -> cri.ImageFsInfoResponse:
    """What the store takes: its blobs as they lie on disk, and its trees as they were counted when unpacked. Blocks.

    `layers`: where containers have their writable layers. What these take, their own statistics say.
    """
    used_bytes = sum(record.unpacked_bytes for record in records)
    inodes = sum(record.unpacked_inodes for record in records)
    for folder in layout.blobs.iterdir():
        with os.scandir(folder) as entries:
            for entry in entries:
                used_bytes += entry.stat().st_blocks * 512
                inodes += 1
    usage = cri.FilesystemUsage(
        timestamp=time.time_ns(),
        fs_id=cri.FilesystemIdentifier(mountpoint=str(layout.root)),
        used_bytes=cri.UInt64Value(value=used_bytes),
        inodes_used=cri.UInt64Value(value=inodes),
    )
    writable = cri.FilesystemUsage(timestamp=usage.timestamp, fs_id=cri.FilesystemIdentifier(mountpoint=str(layers)))
    return cri.ImageFsInfoResponse(image_filesystems=[usage], container_filesystems=[writable])
