"""System calls that Python 3.11 lacks, by way of libc; pinned namespaces and untrusted files.

Functions block only as long as the kernel does (microseconds), except where said. Errors are OSError with the path.
"""

import contextlib
import ctypes
import errno
import os
import signal
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
_NAMESPACE_FILES = {CLONE_NEWNET: "net", CLONE_NEWIPC: "ipc", CLONE_NEWUTS: "uts", CLONE_NEWCGROUP: "cgroup"}

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
AT_FDCWD = -100
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 0x1
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x00100000
_MOUNT_ATTR_ATIME = 0x70  # the field of which NOATIME is a value
STATX_ATTR_MOUNT_ROOT = 0x2000
# the same numbers on every architecture
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_OPENAT2, _SYS_MOUNT_SETATTR = 428, 429, 437, 442

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _MountAttr(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd"))


class _Statx(ctypes.Structure):
    """What leads up to stx_attributes; the kernel fills 256 bytes."""

    _fields_ = (
        ("mask", ctypes.c_uint32),
        ("blksize", ctypes.c_uint32),
        ("attributes", ctypes.c_uint64),
        ("rest", ctypes.c_uint8 * 240),
    )


def _check(result: int, path: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def _syscall(number: int, path: str | Path, *arguments: object) -> int:
    """syscall(2); whole numbers are passed as the register-wide ones that it takes."""
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _check(int(_libc.syscall(ctypes.c_long(number), *converted)), str(path))


def mount(source: str, target: str | Path, fstype: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). `options` is the file system's data string, at most one page."""
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            fstype.encode() or None,
            ctypes.c_ulong(flags),
            options.encode() or None,
        ),
        str(target),
    )


def umount(target: str | Path, flags: int = UMOUNT_NOFOLLOW) -> None:
    """umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), flags), str(target))


def open_tree(path: Path | int, flags: int) -> int:
    """open_tree(2): a file descriptor of the mount at `path`, or of a copy of it (OPEN_TREE_CLONE); a number: what is open."""
    directory, name = _at(path)
    flags |= os.O_CLOEXEC | (0 if name else AT_EMPTY_PATH)
    return _syscall(_SYS_OPEN_TREE, name or f"fd {path}", directory, os.fsencode(name), flags)


def set_id_mapping(tree: int, user_namespace: int, path: Path) -> None:
    """mount_setattr(2): show the owners in a mount that nobody sees yet through a user namespace. `path` is for the error."""
    _set_attributes(tree, _MountAttr(MOUNT_ATTR_IDMAP, 0, 0, user_namespace), path)


def set_mount_attributes(tree: int, attributes: int, path: Path) -> None:
    """mount_setattr(2): give a mount that nobody sees yet attributes (MOUNT_ATTR_*). `path` is for the error."""
    cleared = _MOUNT_ATTR_ATIME if attributes & _MOUNT_ATTR_ATIME else 0
    _set_attributes(tree, _MountAttr(attributes, cleared, 0, 0), path)


def _set_attributes(tree: int, attributes: _MountAttr, path: Path) -> None:
    size = ctypes.sizeof(attributes)
    _syscall(_SYS_MOUNT_SETATTR, path, tree, b"", AT_EMPTY_PATH, ctypes.byref(attributes), size)


def move_mount(tree: int, target: Path | int) -> None:
    """move_mount(2): mount what is open as `tree` on `target`; a number: on what is open."""
    directory, name = _at(target)
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if name else MOVE_MOUNT_T_EMPTY_PATH)
    _syscall(_SYS_MOVE_MOUNT, name or f"fd {target}", tree, b"", directory, os.fsencode(name), flags)


def _at(place: Path | int) -> tuple[int, str]:
    return (place, "") if isinstance(place, int) else (AT_FDCWD, str(place))


def statx_attributes(path: Path) -> int:
    """statx(2): stx_attributes of what is at `path`, no link followed."""
    found = _Statx()
    status = _libc.statx(AT_FDCWD, os.fsencode(path), AT_SYMLINK_NOFOLLOW, ctypes.c_uint(0), ctypes.byref(found))
    _check(status, str(path))
    return int(found.attributes)


def syncfs(fd: int) -> None:
    """syncfs(2): have all of the file system that `fd` is on written to the disk."""
    _check(_libc.syncfs(fd), f"fd {fd}")


def die_with_parent() -> None:
    """prctl(2): kill the calling program when the thread that started it ends. Exits at once where that has happened."""
    parent = os.getppid()
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0), "PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        raise SystemExit(1)


def adopt_orphans() -> None:
    """prctl(2): what descendants of this process leave behind becomes its child, not that of PID 1."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0), "PR_SET_CHILD_SUBREAPER")


def setns(fd: int, kind: int = 0) -> None:
    """setns(2): move the calling thread into the namespace open as `fd`."""
    _check(_libc.setns(fd, kind), f"fd {fd}")


def unshare(flags: int) -> None:
    """unshare(2): give the calling thread new namespaces."""
    _check(_libc.unshare(flags), f"namespaces {flags:#x}")


def openat2(directory_fd: int, path: str | Path, flags: int, *, mode: int = 0, resolve: int = RESOLVE_BENEATH) -> int:
    """openat2(2): open `path` below `directory_fd` under the `resolve` restrictions; returns a file descriptor.

    The safe way to follow a path that a pod controls: with RESOLVE_BENEATH no symbolic link can lead outside (EXDEV),
    with RESOLVE_IN_ROOT absolute links are taken relative to the directory.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    if b"\0" in os.fsencode(path):  # the kernel would take what stands before it
        raise OSError(errno.EINVAL, "embedded null byte", str(path))
    return _syscall(_SYS_OPENAT2, path, directory_fd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))


class NotRegular(OSError):
    """What is there is a folder, a link, a pipe, a socket or a device."""


def open_regular(
    directory_fd: int, path: str | Path, flags: int = os.O_RDONLY, *, resolve: int = RESOLVE_BENEATH, find: int = 0
) -> int:
    """As `openat2` for a file that somebody untrusted may have put there: opened only once it is known to be a regular one.

    To open a device may be all that it waits for (a watchdog, a tape), and a pipe holds who opens it. `find`: more flags to look
    the path up with (O_NOFOLLOW). Raises NotRegular.
    """
    found = openat2(directory_fd, path, os.O_PATH | find, resolve=resolve)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise NotRegular(errno.EINVAL, "not a regular file", str(path))
        return os.open(f"/proc/self/fd/{found}", flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(found)


def in_thread(function: Callable[[], _T]) -> _T:
    """Run `function` in a thread of its own and wait; whatever namespaces it enters die with the thread. Blocks."""
    result: list[_T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            result.append(function())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body, name="namespace")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def pin_namespaces(kinds: Mapping[int, Path], inside: Callable[[], None] | None = None) -> None:
    """Make new namespaces (CLONE_NEW* -> path) and pin each by a bind mount on its path, a new empty file.

    `inside` runs within all of them before they are pinned (host name, loopback, sysctls). On an error nothing stays.
    Blocks for a few milliseconds; call it off the event loop.
    """
    flags = 0
    for kind in kinds:
        flags |= kind

    made: list[Path] = []

    def body() -> None:
        unshare(flags)
        if inside is not None:
            inside()
        for kind, path in kinds.items():
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
            made.append(path)
            mount(f"/proc/self/task/{threading.get_native_id()}/ns/{_NAMESPACE_FILES[kind]}", path, flags=MS_BIND)

    try:
        in_thread(body)
    except BaseException:
        for path in made:  # a path that was there before is somebody's living namespace
            unpin_namespace(path)
        raise


def unpin_namespace(path: Path) -> None:
    """Undo `pin_namespaces` for one path. Nothing there, or half of it, is fine."""
    try:
        while True:
            umount(path, MNT_DETACH | UMOUNT_NOFOLLOW)
    except OSError:
        with contextlib.suppress(NotADirectoryError):
            path.unlink(missing_ok=True)


def in_namespace(path: Path, function: Callable[[], _T]) -> _T:
    """Run `function` in a thread that has entered the namespace pinned at `path`. Blocks."""

    def body() -> _T:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(fd)
        finally:
            os.close(fd)
        return function()

    return in_thread(body)


def set_command_line(*arguments: str) -> None:
    """What this process is called in /proc/PID/cmdline, cut to the room that its first name had. For a process that was forked
    and goes on as another program."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end: 48 and 49 of proc(5)
    room = end - start - 1  # the last byte stays 0: else the kernel takes the environment for more of it
    text = b"\0".join(map(os.fsencode, arguments))[:room]
    ctypes.memmove(start, text.ljust(room, b"\0"), room)
