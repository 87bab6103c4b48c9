"""Give a volume's files the SELinux label that the container may use: what `selinux_relabel` of a CRI mount asks for.

Containers may be at work in the volume: nothing is followed out of it, and no mount in it is entered.
"""

import errno
import os
import stat
from pathlib import Path

from runtimes import errors
from runtimes.linux.mounts import MountError
from runtimes.linux.tree_walk import DIRECTORY, Changed, TreeWalk, until_settled

ATTRIBUTE = "security.selinux"
# the system's own: a container that may use them leaves a host that nobody else may
_PROTECTED = frozenset(
    {
        "/",
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/home",
        "/lib",
        "/lib64",
        "/media",
        "/mnt",
        "/opt",
        "/proc",
        "/root",
        "/run",
    }
    | {"/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/lib", "/var/log"}
)


def relabel(path: Path, label: str) -> None:
    """`path`: a directory with all in it, or a file. File systems without labels are left as they are. Blocks.

    Raises InvalidArgument for a directory of the system, or where a label cannot be set.
    """
    try:
        place = path.resolve(strict=True)
        if str(place) in _PROTECTED:
            raise errors.InvalidArgument(f"SELinux relabeling of {place} is not allowed")
        value = label.encode() + b"\0"
        if stat.S_ISDIR(place.lstat().st_mode):
            until_settled(lambda: _tree(place, value))
        else:
            _set(place, value)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return
        raise errors.InvalidArgument(f"SELinux relabeling of {path} failed: {error.strerror or error}") from error


def _tree(top: Path, value: bytes) -> None:
    with TreeWalk(os.open(top, DIRECTORY)) as at:
        while at.names or at.depth:
            if not at.names:
                _set(at.fd, value)
                at.leave()
                continue
            name = at.names.pop()
            try:
                if stat.S_ISDIR(os.lstat(name, dir_fd=at.fd).st_mode):
                    at.enter(name)
                else:
                    _set(Path(f"/proc/self/fd/{at.fd}/{name}"), value)
            except (FileNotFoundError, Changed, MountError):
                continue  # gone by now, replaced, or not of this volume
        _set(at.fd, value)


def _set(what: Path | int, value: bytes) -> None:
    if isinstance(what, int):
        os.setxattr(what, ATTRIBUTE, value)
    else:
        os.setxattr(what, ATTRIBUTE, value, follow_symlinks=False)
