"""Remove from a store what no image and no container needs: trees, blobs, and what a killed process left under tmp/.

Runs only while nobody works in the store. What goes is moved away under the lock, so that it is quickly free again, and
deleted afterwards.
"""

import logging
import os
from pathlib import Path

from runtimes.oci.images.contract import ImageRecord
from runtimes.oci.images.layout import Layout, hex_of
from runtimes.oci.images.lock import alone
from runtimes.oci.images.records import Records
from runtimes.oci.images.rootfs import Holds

log = logging.getLogger(__name__)


def collect(layout: Layout, records: Records, holds: Holds) -> list[Path] | None:
    """Move garbage out of the way; returns the folders under tmp/ to delete, None when the store is in use. Blocks."""
    with alone(layout.lock) as got_it:
        if not got_it:
            return None
        doomed = list(layout.tmp.iterdir())
        images = [record for record in records if not _dropped(record, layout, records)]
        trash = layout.work_folder()
        trees = {hex_of(image.id) for image in images} | holds.trees_in_use()
        blobs = {layout.blob(digest) for image in images for digest in _blobs(image)}
        for tree in layout.unpacked.iterdir():
            if tree.name not in trees:
                tree.rename(trash / f"tree-{tree.name}")
        for folder in filter(Path.is_dir, layout.blobs.iterdir()):
            for blob in folder.iterdir():
                if blob not in blobs:
                    blob.unlink() if blob.is_file() else blob.rename(trash / f"blob-{blob.name}")
        return [*doomed, trash]


def _blobs(image: ImageRecord) -> tuple[str, ...]:
    return (image.manifest_digest, image.id, *image.layers)


def _dropped(image: ImageRecord, layout: Layout, records: Records) -> bool:
    """Forget an image of which something is missing that cannot be made again (somebody deleted files)."""
    if all(os.path.lexists(layout.blob(digest)) for digest in _blobs(image)):
        return False
    if layout.tree(image.id).exists():
        return False
    log.error("image %s (%s) is incomplete on disk and was removed", image.id, ", ".join(image.tags) or "untagged")
    records.remove(image.id)
    return True
