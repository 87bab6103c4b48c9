"""Let the file system in an image have the image's size.

A mounted ext4 is grown by the kernel, for who has CAP_SYS_RESOURCE; one that is not mounted by e2fsprogs, for everybody. xfs is
grown only while it is mounted, for everybody.
"""

import asyncio
import re
from pathlib import Path

from csi import errors
from csi.driver import contents, publication
from runtimes.linux import loop
from runtimes.linux.retry import RetryPolicy
from runtimes.linux.tasks import run_blocking

_CAP_SYS_RESOURCE = 24
_ATTEMPTS = 8
_AGAIN = RetryPolicy(first_seconds=0.01, cap_seconds=1.0)
_CHECKED = (0, 1)  # e2fsck: in order, or put in order


def can_grow_mounted(fs_type: str) -> bool:
    """Whether this process may grow such a file system (empty: none, which always grows) while it is mounted."""
    if fs_type != "ext4":
        return True
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> _CAP_SYS_RESOURCE & 1)


async def grow_devices(place: Path) -> list[Path]:
    """Let the devices of an image have its size; returns them. Raises OSError."""
    devices = await run_blocking(publication.devices, place)
    for device in devices:
        await run_blocking(loop.grow, device)
    return devices


async def grow_mounted(fs_type: str, device: Path, mount: Path) -> None:
    """Raises csi.errors."""
    await contents.run(*(("xfs_growfs", str(mount)) if fs_type == "xfs" else ("resize2fs", str(device))))


async def grow_unmounted(place: Path) -> None:
    """ext4. Raises csi.errors; WrongState where the image is in use after all."""
    for attempt in range(_ATTEMPTS):  # the kernel lets go of a device a moment after the last unmount
        if not await run_blocking(publication.devices, place):
            break
        await asyncio.sleep(_AGAIN.next_delay(attempt))
    else:
        raise errors.WrongState("the volume is still in use")
    image = str(contents.image(place))
    await contents.run("e2fsck", "-f", "-p", image, good=_CHECKED)
    await contents.run("resize2fs", image)
