"""Loop devices: a file as a block device (loop(4)), by ioctl(2), so that no program has to be found.

All functions block, microseconds unless said. Errors are OSError.
"""

import contextlib
import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

_CONTROL = Path("/dev/loop-control")
_MAJOR = 7
_ATTEMPTS = 50
_CTL_GET_FREE = 0x4C82
_CONFIGURE = 0x4C0A  # Linux 5.8
_CLR_FD = 0x4C01
_GET_STATUS = 0x4C05
_SET_CAPACITY = 0x4C07
_READ_ONLY = 1
_AUTOCLEAR = 4
# struct loop_info64: lo_device, lo_inode, lo_rdevice, lo_offset, lo_sizelimit; lo_number, lo_encrypt_type, lo_encrypt_key_size,
# lo_flags; names and keys
_INFO = struct.Struct("=5Q4I176x")
# struct loop_config: fd, block_size; that; reserved
_CONFIG = struct.Struct(f"=2I{_INFO.size}s64x")


def available() -> bool:
    """Whether this process may make loop devices."""
    return os.access(_CONTROL, os.R_OK | os.W_OK)


def attach(backing: int, *, read_only: bool = False, until_closed: bool = False) -> int:
    """Make a loop device of an open file; returns the device, open (`path_of` names it).

    `until_closed`: the device goes when its last user does: who is killed leaves nothing, and what is mounted holds it.
    """
    flags = (_READ_ONLY if read_only else 0) | (_AUTOCLEAR if until_closed else 0)
    info = _INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, flags)
    access = (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            device = os.open(_node(fcntl.ioctl(control, _CTL_GET_FREE)), access)
            try:
                fcntl.ioctl(device, _CONFIGURE, _CONFIG.pack(backing, 0, info))
                return device
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # somebody else was faster
                    raise
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "no free loop device")


def attached(backing: int, *, read_only: bool = False) -> list[Path]:
    """The loop devices that were made of an open file, of that kind, the lowest number first."""
    found = []
    for number in _numbers():
        if (device := _open_if_of(number, backing, read_only)) is not None:
            os.close(device)
            found.append(_node(number))
    return found


def reopen(backing: int, *, read_only: bool = False) -> int | None:
    """A loop device that was made of an open file, open: so it stays. None: there is none."""
    opened = (_open_if_of(number, backing, read_only) for number in _numbers())
    return next((device for device in opened if device is not None), None)


def _numbers() -> list[int]:
    """Of the devices that are in use."""
    return sorted(int(entry.parent.name.removeprefix("loop")) for entry in Path("/sys/block").glob("loop*/loop"))


def _open_if_of(number: int, backing: int, read_only: bool) -> int | None:
    """It may be gone by now, or be another's; while it is open it is what it is."""
    wanted = os.fstat(backing)
    try:
        device = os.open(_node(number), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        file_system, inode, *_, flags = _INFO.unpack(fcntl.ioctl(device, _GET_STATUS, bytes(_INFO.size)))
        same = (file_system, inode) == (wanted.st_dev, wanted.st_ino)
        if same and bool(flags & _READ_ONLY) == read_only:
            return device
    os.close(device)
    return None


def detach(device: Path) -> None:
    """Take a device apart; while it is in use, it goes when its last user does. One that is none any more is fine."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _CLR_FD)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        finally:
            os.close(fd)


def grow(device: Path) -> None:
    """Let a device have the size that its file has by now."""
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _SET_CAPACITY)
    finally:
        os.close(fd)


def path_of(device: int) -> Path:
    """The device node of an open loop device."""
    return _node(os.minor(os.fstat(device).st_rdev))


def _node(number: int) -> Path:
    """/dev/loopN; made where the kernel has the device and /dev, in a container, does not."""
    path = Path(f"/dev/loop{number}")
    with contextlib.suppress(FileExistsError):
        if not path.exists():
            os.mknod(path, stat.S_IFBLK | 0o660, os.makedev(_MAJOR, number))
    return path
