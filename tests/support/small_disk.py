"""A file system of a few MiB on a loop device, for tests of full disks."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def small_disk(folder: Path, mebibytes: int, *options: str) -> Iterator[Path]:
    """Mounted at `folder`/disk, ext4; `options` go to mkfs. Nothing is reserved for root."""
    image, mount = folder / "disk.img", folder / "disk"
    with image.open("wb") as file:
        file.truncate(mebibytes * 1024 * 1024)
    mount.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", *options, str(image)], check=True, timeout=60)
    subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True, timeout=60)
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=False, timeout=60)
        if mount.is_mount():
            subprocess.run(["umount", "-l", str(mount)], check=True, timeout=60)
        image.unlink()
