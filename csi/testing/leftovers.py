"""What a driver has left when its volumes are gone: mounts, target paths, disks (loop, device mapper, iSCSI, NBD).

A disk is known by its name and the kernel's number of it, `diskseq`, which is another one whenever other media are behind the
name. Kernels before 5.15 have no such number: there no disk is missed.
"""

import asyncio
import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from runtimes.linux import mounts
from runtimes.linux.retry import RetryPolicy

_BLOCK = Path("/sys/block")
_ATTEMPTS = 10
_AGAIN = RetryPolicy(first_seconds=0.01, cap_seconds=1.0)


def left_below(directory: Path) -> list[str]:
    """What is mounted below, and target paths that the driver has not removed."""
    found = [f"still mounted: {point}" for point in mounts.mounts_below(directory)]
    return found or [f"not removed: {path}" for path in sorted(directory.glob("pods/*/*"))]


def disks(root: Path = _BLOCK) -> dict[str, str]:
    """Name -> `diskseq` of all that there are."""
    found = {}
    for disk in root.glob("*/diskseq"):
        with contextlib.suppress(OSError):  # gone meanwhile
            found[disk.parent.name] = disk.read_text().strip()
    return found


def disk_of(path: Path) -> tuple[str, str] | None:
    """(name, `diskseq`) of the disk that `path` is, or that its file system is on; None: of none that the kernel numbers.

    Raises OSError for a path that is not there.
    """
    status = path.stat()
    device = status.st_rdev if stat.S_ISBLK(status.st_mode) else status.st_dev
    try:
        disk = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve(strict=True)
        return disk.name, (disk / "diskseq").read_text().strip()
    except OSError:  # a directory on a server, an overlay, a partition
        return None


async def left_disks(used: Mapping[str, str]) -> list[str]:
    """Those of `used` that are still what they were. The kernel lets go a moment after the last use: that is waited for."""
    left = {}
    for attempt in range(_ATTEMPTS):
        left = {name: seq for name, seq in used.items() if _has_media(name) and disks().get(name) == seq}
        if not left:
            break
        await asyncio.sleep(_AGAIN.next_delay(attempt))
    return [f"the disk of a deleted volume is there: /dev/{name}" for name in sorted(left)]


def _has_media(name: str) -> bool:
    """A loop or NBD device without anything behind has no size, and keeps its number."""
    try:
        return int((_BLOCK / name / "size").read_text()) > 0
    except (OSError, ValueError):
        return False
