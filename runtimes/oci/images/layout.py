"""Where things lie in a store, and how they get there whole.

    blobs/<algorithm>/<hex>      manifests, configurations, layers; complete and verified, or absent
    unpacked/<hex of id>/        one per image: rootfs/ (the tree) and usage.json (what it takes)
    records/<hex of id>.json     one per image, written last: what has no record is not an image
    holds/<hex of id>.<key>      symbolic link to a container's directory that is mounted over the tree
    tmp/                         work in progress; whatever is there while nobody works is garbage
    lock                         flock: shared by everyone who works, exclusive for the one who cleans

Every file is written under tmp/, synced and renamed to its place.
"""

import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

from runtimes.errors import InvalidArgument
from runtimes.linux.files import draft

DISK_FULL = "no space left on device"  # ENOSPC as programs written in Go say it; C's begins with a capital


class Layout:
    """Paths of a store below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs"
        self.unpacked = root / "unpacked"
        self.records = root / "records"
        self.holds = root / "holds"
        self.tmp = root / "tmp"
        self.lock = root / "lock"

    def create(self) -> None:
        """Make the folders. The trees hold setuid programs, so only root may look inside."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for folder in (self.blobs / "sha256", self.blobs / "sha512", self.unpacked, self.records, self.holds, self.tmp):
            folder.mkdir(parents=True, exist_ok=True)

    def blob(self, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        return self.blobs / algorithm / value

    def tree(self, image_id: str) -> Path:
        return self.unpacked / hex_of(image_id)

    def rootfs(self, image_id: str) -> Path:
        return self.tree(image_id) / "rootfs"

    def usage(self, image_id: str) -> Path:
        return self.tree(image_id) / "usage.json"

    def record(self, image_id: str) -> Path:
        return self.records / f"{hex_of(image_id)}.json"

    def work_folder(self) -> Path:
        """A new folder for one piece of work. The caller holds the lock, shared."""
        return Path(tempfile.mkdtemp(dir=self.tmp))

    def add_blob(self, digest: str, chunks: Iterable[bytes], work: Path, what: str) -> int:
        """Write a blob whose content must have `digest`; returns its size. Blocks. Raises InvalidArgument, OSError."""
        algorithm, _, wanted = digest.partition(":")
        hasher = hashlib.new(algorithm)
        size = 0
        with draft(self.blob(digest), beside=work) as file:
            for chunk in chunks:
                hasher.update(chunk)
                size += len(chunk)
                file.write(chunk)
            if hasher.hexdigest() != wanted:
                raise InvalidArgument(f"{what}: content has digest {algorithm}:{hasher.hexdigest()}, not {digest}")
        return size


def hex_of(image_id: str) -> str:
    return image_id.partition(":")[2]
