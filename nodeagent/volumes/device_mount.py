"""The file system of a block device, mounted once on the node for all pods (docs/facts/storage.md 1.2, 5)."""

import contextlib
import errno
import os
from pathlib import Path

from nodeagent.api.events import Events
from nodeagent.volumes.contract import VolumeError, VolumeRequest
from nodeagent.volumes.layout import make_directories
from runtimes.linux import file_systems, mount_options, mountinfo, mounts
from runtimes.linux.tasks import run_blocking


async def stage(request: VolumeRequest, device: Path, staging: Path, fstype: str, events: Events) -> None:
    """Mount what is on `device` at `staging`; where there is nothing at all, make a file system first. Repeatable.

    One that is to grow and cannot while it is mounted does so before. Raises VolumeError.
    """
    source = request.source
    options = mount_options.parse(source.mount_options)
    try:
        if await run_blocking(_is_ready, staging):
            return
        if await run_blocking(file_systems.is_read_only, device):
            options = mount_options.parse((*source.mount_options, "ro"))
        read_only = options.read_only or source.read_only
        found = await file_systems.prepare(device, fstype, read_only=read_only)
        if source.expand_to_bytes is not None and not read_only:
            await file_systems.grow_unmounted(device, found)
        await file_systems.mount(device, staging, fstype, options)
    except file_systems.Mismatch as error:
        if source.persistent_volume is not None:
            events.event(source.persistent_volume, "Warning", "FailedMountOnFilesystemMismatch", str(error))
        raise VolumeError(str(error)) from error
    except (file_systems.FileSystemError, OSError) as error:
        raise VolumeError(str(error)) from error


async def unstage(staging: Path) -> None:
    """Undo `stage`; nothing there is fine. Raises VolumeError while anything of it is in use."""
    try:
        await run_blocking(_unstage, staging)
    except OSError as error:
        raise VolumeError(str(error)) from error


async def grow(device: Path, staging: Path, wanted_bytes: int) -> None:
    """Let the file system at `staging`, or nothing where none is mounted, have the size of its device.

    Raises VolumeError, also where the device is smaller than `wanted_bytes`.
    """
    try:
        size_bytes = await run_blocking(file_systems.size_bytes, device)
        if size_bytes < wanted_bytes:
            raise VolumeError(f"device {device} has {size_bytes} bytes, and is to have {wanted_bytes}")
        if (mounted := await run_blocking(mounted_at, staging)) is not None:
            await file_systems.grow_mounted(device, staging, mounted.fstype)
    except (file_systems.FileSystemError, OSError) as error:
        raise VolumeError(str(error)) from error


def mounted_at(path: Path) -> mountinfo.MountEntry | None:
    """What is mounted at a path, the last where there are several; None: nothing is. Blocks. Raises OSError."""
    place = os.path.realpath(path)
    found = [entry for entry in mountinfo.read_mounts() if entry.point == place]
    return found[-1] if found else None


def unmount(path: Path) -> None:
    """Unmount, and remove the directory that is left. Nothing there is fine. Blocks. Raises OSError."""
    mounts.unmount_all(path)
    with contextlib.suppress(FileNotFoundError):
        path.rmdir()


def _is_ready(staging: Path) -> bool:
    make_directories(staging)
    return mounts.is_mount_point(staging)


def _unstage(staging: Path) -> None:
    mounted = mounted_at(staging)
    if mounted is not None and (others := _references(mounted)):
        raise VolumeError(f"{mounts.shown(staging)} is still mounted by other references: {', '.join(others)}")
    unmount(staging)
    if mounted is not None:
        _check_released(Path(mounted.source))


def _references(mounted: mountinfo.MountEntry) -> list[str]:
    """Where else the same file system is mounted."""
    entries = (entry for entry in mountinfo.read_mounts() if entry.device == mounted.device)
    return [mounts.shown(entry.point) for entry in entries if entry.point != mounted.point]


def _check_released(device: Path) -> None:
    """Whoever has it to himself in another mount namespace would go on writing to what others take for free."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise VolumeError("the device is in use when it was no longer expected to be in use") from error
