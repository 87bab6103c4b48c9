"""Walk through a directory tree that others are changing meanwhile, by open directories alone.

No symbolic link is followed and no mount is entered, a bind mount of the same file system included (openat2). One directory is
open at a time however deep the tree is: the way back is `..`, and it must lead to the very directory that was left.
"""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from runtimes.linux import syscalls
from runtimes.linux.mounts import MountError, shown

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# of openat2: what a name leads to is in that directory, on the same mount, and no link
BENEATH = syscalls.RESOLVE_NO_XDEV | syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS
_ATTEMPTS = 100


class Changed(OSError):
    """Something was replaced, moved or filled while it was looked at: what is there now is to be looked at again."""


def until_settled(walk: Callable[[], None]) -> None:
    """Do `walk` again as long as it meets changes; who changes things faster than it walks ends it with the last of them."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(Changed):
            walk()
            return
    walk()


def open_directory(parent: int, name: str) -> int:
    """Open the directory `name` of an open directory. Raises MountError, Changed where there is none (any more), OSError."""
    try:
        return syscalls.openat2(parent, name, DIRECTORY, resolve=BENEATH)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise MountError(f"{place(parent, name)} is a mount point") from error
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise Changed(error.errno, error.strerror, place(parent, name)) from error
        raise OSError(error.errno, error.strerror, place(parent, name)) from error


def place(directory: int, name: str = "") -> str:
    """The path of an open directory, or of what is in it, for people."""
    with contextlib.suppress(OSError):
        return shown(Path(f"/proc/self/fd/{directory}").readlink() / name)
    return shown(name or "?")


class TreeWalk:
    """A place in a tree: a directory that is open, and what of it and of those above it is still to be visited.

    `fd`: the directory, for `dir_fd` arguments. `names`: what is in it; who visits a name takes it out.
    """

    def __init__(self, top: int) -> None:
        """Begin in an open directory, which belongs to this from now on and is closed at its end. Raises OSError."""
        self._above: list[tuple[str, tuple[int, int], list[str]]] = []
        self.fd = top
        try:
            self.names = _names(top)
        except BaseException:
            os.close(top)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)

    @property
    def depth(self) -> int:
        """0 in the directory in which it began."""
        return len(self._above)

    def enter(self, name: str) -> None:
        """Go into a directory of this one. Raises as `open_directory`."""
        child = open_directory(self.fd, name)
        try:
            names, here = _names(child), _identity(self.fd)
        except BaseException:
            os.close(child)
            raise
        self._above.append((name, here, self.names))
        os.close(self.fd)
        self.fd, self.names = child, names

    def leave(self) -> str:
        """Go back to the directory above; returns the name that this one has in it. Raises Changed where it was moved away."""
        name, identity, names = self._above[-1]
        parent = os.open("..", DIRECTORY, dir_fd=self.fd)
        if _identity(parent) != identity:
            os.close(parent)
            raise Changed(errno.ESTALE, "was moved meanwhile", place(self.fd))
        self._above.pop()
        os.close(self.fd)
        self.fd, self.names = parent, names
        return name


def _names(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries]


def _identity(directory: int) -> tuple[int, int]:
    status = os.fstat(directory)
    return status.st_dev, status.st_ino
