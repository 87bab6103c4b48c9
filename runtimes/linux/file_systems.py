"""File systems on block devices, by their own programs: found, made, checked, grown (docs/facts/storage.md 5).

A device with anything on it is never formatted. The programs may take as long as a disk is large; all else blocks shortly.
"""

import fcntl
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runtimes.linux import process, syscalls
from runtimes.linux.mount_options import MountOptions
from runtimes.linux.tasks import run_blocking

DEFAULT: Final = "ext4"
_PROBE_SECONDS = 30.0
_PROGRAM_SECONDS = 110.0
_NOTHING_FOUND = 2  # of blkid
_UNCORRECTED = 4  # of fsck
_CHECKED = (0, 1)  # of e2fsck: in order, or put in order
_EXT: Final = frozenset({"ext2", "ext3", "ext4"})
_MKFS: Final[Mapping[str, tuple[str, ...]]] = {"ext3": ("-F", "-m0"), "ext4": ("-F", "-m0"), "xfs": ("-f",)}
_PARTITIONS: Final = "unknown data, probably partitions"
_BLKROGET = 0x125E


class FileSystemError(Exception):
    """A device cannot be used as it is. The text names the device."""


class UnformattedReadOnly(FileSystemError):
    """There is nothing on a device that may only be read."""


class HasErrors(FileSystemError):
    """The file system has errors that somebody has to look at."""


class Mismatch(FileSystemError):
    """There is something else on the device than what was asked for, and it cannot be mounted so."""


async def probe(device: Path) -> str:
    """The type of what is on a device; "": there is nothing at all. Raises FileSystemError."""
    argv = ("blkid", "-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "export", str(device))
    done = await _run(argv, _PROBE_SECONDS)
    if done.returncode == _NOTHING_FOUND:
        return ""
    if not done.ok:
        raise FileSystemError(f"failed to get disk format of disk {device}: {done.error_text}")
    found = dict(line.split("=", 1) for line in done.stdout.decode(errors="replace").splitlines() if "=" in line)
    return _PARTITIONS if "PTTYPE" in found else found.get("TYPE", _PARTITIONS)


async def mount(device: Path, target: Path, fstype: str, options: MountOptions) -> None:
    """Mount what is on a device, which `prepare` has looked at. Raises Mismatch, FileSystemError."""
    try:
        await run_blocking(syscalls.mount, str(device), target, fstype, options.flags, options.text)
    except OSError as error:
        text = f"mount of {device} as {fstype} failed: {error.strerror}"
        found = await probe(device)
        raise (
            FileSystemError(text) if found == fstype else Mismatch(f"{text}; there is {found or 'nothing'}")
        ) from error


async def prepare(device: Path, fstype: str, *, read_only: bool) -> str:
    """Make a device ready to be mounted: one with nothing on it is formatted as `fstype`, any other checked.

    Returns the type of what is on it, which may be another. Raises UnformattedReadOnly, HasErrors, FileSystemError.
    """
    found = await probe(device)
    if found:
        if not read_only:
            await check(device)
        return found
    if read_only:
        text = f"cannot mount unformatted disk {device} as we are manipulating it in read-only mode"
        raise UnformattedReadOnly(text)
    await make(device, fstype)
    return fstype


async def make(device: Path, fstype: str) -> None:
    """Raises FileSystemError."""
    if not fstype.isalnum():
        raise FileSystemError(f"{fstype!r} is no file system type")
    done = await _run((f"mkfs.{fstype}", *_MKFS.get(fstype, ()), str(device)), _PROGRAM_SECONDS)
    if not done.ok:
        raise FileSystemError(f"format of disk {device} failed: type:({fstype}) output:({done.error_text})")


async def check(device: Path) -> None:
    """Put small things in order. Where there is no program to do it, nothing is checked. Raises HasErrors, FileSystemError."""
    try:
        done = await process.run(("fsck", "-a", str(device)), timeout_seconds=_PROGRAM_SECONDS)
    except process.ProgramNotFound:
        return
    except process.ProcessError as error:
        raise FileSystemError(f"check of disk {device}: {error}") from error
    if done.returncode == _UNCORRECTED:
        text = (done.stdout + done.stderr).decode(errors="replace").strip()[-2048:]
        raise HasErrors(f"'fsck' found errors on device {device} but could not correct them: {text}")


async def grow_mounted(device: Path, mount_point: Path, fstype: str) -> None:
    """Let a mounted file system have the size of its device; one that has it is fine. Raises FileSystemError.

    An ext4 is grown so by who has CAP_SYS_RESOURCE alone.
    """
    argv: tuple[str, ...]
    if fstype in _EXT:
        argv = ("resize2fs", str(device))
    elif fstype == "xfs":
        argv = ("xfs_growfs", "-d", str(mount_point))
    elif fstype == "btrfs":
        argv = ("btrfs", "filesystem", "resize", "max", str(mount_point))
    else:
        raise FileSystemError(f"resize of format {fstype} is not supported for device {device}")
    await _grow(argv, device)


async def grow_unmounted(device: Path, fstype: str) -> bool:
    """Let a file system that is not mounted have the size of its device. False: this type grows mounted alone.

    Raises FileSystemError.
    """
    if fstype not in _EXT:
        return False
    done = await _run(("e2fsck", "-f", "-p", str(device)), _PROGRAM_SECONDS)
    if done.returncode not in _CHECKED:
        raise HasErrors(f"device {device}: {done.error_text}")
    await _grow(("resize2fs", str(device)), device)
    return True


def size_bytes(device: Path) -> int:
    """Of a block device. Raises OSError."""
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def is_read_only(device: Path) -> bool:
    """Whether the kernel lets nobody write on a block device. Raises OSError."""
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(descriptor, _BLKROGET, bytes(struct.calcsize("i")))
        return bool(struct.unpack("i", answer)[0])
    finally:
        os.close(descriptor)


async def _grow(argv: tuple[str, ...], device: Path) -> None:
    done = await _run(argv, _PROGRAM_SECONDS)
    if not done.ok:
        raise FileSystemError(f"resize of device {device} failed: {done.error_text}")


async def _run(argv: tuple[str, ...], timeout_seconds: float) -> process.Completed:
    try:
        return await process.run(argv, timeout_seconds=timeout_seconds)
    except process.ProgramNotFound as error:
        raise FileSystemError(f"{argv[0]} is not installed here, device {argv[-1]} cannot be used") from error
    except process.ProcessError as error:
        raise FileSystemError(str(error)) from error
