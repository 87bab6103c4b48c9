"""The sockets in a folder and below, each told from the next one that is made at its place. Everything here blocks."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

MAX_ENTRIES = 4096  # a folder that somebody fills does not fill the agent


@dataclass(frozen=True, slots=True)
class Identity:
    """Of a socket file. Two of one identity are the same only as long as one of them is held (`HeldSocket`)."""

    device: int
    inode: int


class HeldSocket:
    """A socket file that is kept open (O_PATH), so that the kernel gives its inode number to no other."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where it is not there any more, or is no socket."""
        self.path = path
        self._fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        found = os.fstat(self._fd)
        if not stat.S_ISSOCK(found.st_mode):
            self.close()
            raise FileNotFoundError(f"{path} is not a socket any more")
        self.identity = Identity(found.st_dev, found.st_ino)

    def close(self) -> None:
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class Found:
    """`folders`: the top one and all below."""

    folders: set[Path] = field(default_factory=set)
    sockets: dict[Path, Identity] = field(default_factory=dict)


def find(top: Path) -> Found:
    """What begins with a dot is passed over, links are not followed, and what vanishes meanwhile is not there.

    Raises OSError where `top` cannot be read.
    """
    found = Found({top})
    waiting, looked_at = [top], 0
    while waiting:
        folder = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            if folder == top:
                raise
            continue
        looked_at += len(entries)
        if looked_at > MAX_ENTRIES:
            raise OSError(f"{top} has more than {MAX_ENTRIES} entries")
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                found.folders.add(path)
                waiting.append(path)
            else:
                _add_socket(found, path)
    return found


def _add_socket(found: Found, path: Path) -> None:
    try:
        status = path.lstat()
    except OSError:
        return
    if stat.S_ISSOCK(status.st_mode):
        found.sockets[path] = Identity(status.st_dev, status.st_ino)
