"""One container's log folder, held open: what is in it is reached by its bare name, and links lead nowhere.

A pod may have /var/log mounted and put there what it likes; nobody reads, packs up or removes a file elsewhere because of it.
"""

import contextlib
import fcntl
import os
import signal
import stat
from pathlib import Path
from types import TracebackType

from runtimes.linux import syscalls

_NO_LINKS = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS
_F_SETSIG = 10  # not in the fcntl module


class NotALog(OSError):
    """What has a log's name is a link, a folder, a pipe or a device."""


class LogFolder:
    """Blocks only as long as a local file system does. Raises OSError."""

    def __init__(self, directory: Path, below: Path | None = None) -> None:
        """`below`: the folder of all pods' logs; from there on no link is followed. It may be reached by one itself."""
        base = below if below is not None and directory.is_relative_to(below) else directory
        base_fd = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            within = directory.relative_to(base)
            self.fd = syscalls.openat2(base_fd, within, os.O_RDONLY | os.O_DIRECTORY, resolve=_NO_LINKS)
        finally:
            os.close(base_fd)

    def __enter__(self) -> "LogFolder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Repeatable."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    @property
    def path(self) -> Path:
        """The folder for whoever needs a path, whatever its name is by now."""
        return Path(f"/proc/self/fd/{self.fd}")

    def names(self) -> list[str]:
        return [entry.name for entry in os.scandir(self.fd)]

    def stat(self, name: str) -> os.stat_result | None:
        """None: there is none. Raises NotALog."""
        try:
            found = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        _check(found, name)
        return found

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """A descriptor, to read from unless `flags` say more. Raises FileNotFoundError, NotALog."""
        try:
            return syscalls.open_regular(self.fd, name, flags, find=os.O_NOFOLLOW)
        except syscalls.NotRegular:
            raise NotALog(f"{name} is not a regular file") from None

    def create(self, name: str, mode: int) -> int:
        """A new file to write to. Raises FileExistsError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, mode, dir_fd=self.fd)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def restore(self, old: str, new: str) -> bool:
        """Give a file its former name back, unless another one has it by now: False."""
        try:
            os.link(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd, follow_symlinks=False)
        except FileExistsError:
            return False
        self.remove(old)
        return True

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.fd)


def has_writer(fd: int) -> bool:
    """Whether somebody has the file open for writing. `fd` is open for reading. False where the kernel cannot tell.

    A read lease is granted only on a file that nobody writes to.
    """
    try:
        # should somebody open it in this moment, the kernel's notice must not be SIGIO, which ends a process
        fcntl.fcntl(fd, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _check(found: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotALog(f"{name} is not a regular file")
