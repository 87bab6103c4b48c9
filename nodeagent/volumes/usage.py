"""How much of a volume is used (docs/facts/storage.md 8)."""

import asyncio
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nodeagent.volumes.contract import VolumeError, VolumeUsage
from runtimes.linux import file_systems
from runtimes.linux.mounts import MountError, is_mount_point
from runtimes.linux.tree_walk import DIRECTORY, Changed, TreeWalk, until_settled

_BLOCK_BYTES = 512  # of st_blocks
# of their own: a file system whose server is gone keeps a thread for as long, and pods need those that everybody shares
_THREADS = ThreadPoolExecutor(max_workers=4, thread_name_prefix="volume-usage")


async def measured(path: Path, *, block: bool = False) -> VolumeUsage:
    """`measure`, or `measure_device`, beside the caller. Raises VolumeError."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, measure_device if block else measure, path)


def measure(directory: Path) -> VolumeUsage:
    """Capacity and what is free are the file system's. Blocks, for long where there are many files. Raises VolumeError.

    Used is, of a file system of its own, what it says; else what the files take, hard links counted once, no link followed and
    no mount entered.
    """
    try:
        system = os.statvfs(directory)
        if is_mount_point(directory):
            used_bytes, inodes_used = (
                (system.f_blocks - system.f_bfree) * system.f_frsize,
                system.f_files - system.f_ffree,
            )
        else:
            used_bytes, inodes_used = _count(directory)
    except OSError as error:
        raise VolumeError(f"{directory}: {error.strerror or error}") from error
    return VolumeUsage(
        capacity_bytes=system.f_blocks * system.f_frsize,
        available_bytes=system.f_bavail * system.f_frsize,
        used_bytes=used_bytes,
        inodes=system.f_files,
        inodes_free=system.f_ffree,
        inodes_used=inodes_used,
    )


def measure_device(device: Path) -> VolumeUsage:
    """A block device has a size; what of it is used only its user knows. Blocks shortly. Raises VolumeError."""
    try:
        return VolumeUsage(capacity_bytes=file_systems.size_bytes(device))
    except OSError as error:
        raise VolumeError(f"{device}: {error.strerror or error}") from error


def _count(directory: Path) -> tuple[int, int]:
    """(bytes, inodes) of a tree. Raises OSError."""
    found: list[tuple[int, int]] = []
    until_settled(lambda: found.append(_walk(directory)))
    return found[-1]


def _walk(directory: Path) -> tuple[int, int]:
    used_bytes, inodes, linked = 0, 0, set[tuple[int, int]]()

    def add(status: os.stat_result) -> None:
        nonlocal used_bytes, inodes
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if (status.st_dev, status.st_ino) in linked:
                return
            linked.add((status.st_dev, status.st_ino))
        used_bytes += status.st_blocks * _BLOCK_BYTES
        inodes += 1

    with TreeWalk(os.open(directory, DIRECTORY)) as at:
        add(os.fstat(at.fd))
        while at.names or at.depth:
            if not at.names:
                at.leave()
                continue
            name = at.names.pop()
            try:
                status = os.lstat(name, dir_fd=at.fd)
                if stat.S_ISDIR(status.st_mode):
                    at.enter(name)
            except (FileNotFoundError, Changed, MountError):
                continue  # gone by now, or not of this volume
            add(status)
    return used_bytes, inodes
