"""Directories of cgroup hierarchies: what is in them, how they go, and what the kernel answers."""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from runtimes.linux.cgroups.contract import CgroupError


def join(root: str, path: str) -> str:
    """The directory of a cgroup in the hierarchy that is mounted at `root`."""
    return f"{root}/{path.strip('/')}".rstrip("/")


def names_in(directory: str) -> list[str]:
    """Files and cgroups in a cgroup directory."""
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries]


def subdirectories(directory: str) -> list[str]:
    """Names of the cgroups directly below; none where there is no such cgroup."""
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def walk(directory: str) -> list[str]:
    """A cgroup and all below it, parents first. No recursion: what a container may do, it may nest deeper than Python calls."""
    found = [directory]
    for at in found:  # grows on the way
        found += (f"{at}/{name}" for name in subdirectories(at))
    return found


def remove_tree(directory: str) -> bool:
    """rmdir from the leaves up, everything that can be. False: something in it is still in use."""
    left = [below for below in reversed(walk(directory)) if not _remove(below)]
    return not left


def _remove(directory: str) -> bool:
    try:
        Path(directory).rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
        return False
    return True


def processes(directory: str) -> frozenset[int]:
    """PIDs in a cgroup and below it, as its hierarchy has them; none where there is no such cgroup. Raises CgroupError."""
    return frozenset(pid for below in walk(directory) for pid in _own_processes(below))


def _own_processes(directory: str) -> list[int]:
    try:
        with open(f"{directory}/cgroup.procs") as file:
            # 0 stands for a process of another PID namespace, which nobody here can kill
            return [pid for pid in map(int, file.read().split()) if pid]
    except OSError as error:
        # gone, or threaded (v2): such a cgroup's processes are listed by the one above it
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            return []
        raise CgroupError(error.errno, error.strerror, directory) from error


def signal_all(pids: Iterable[int], number: int) -> None:
    """Those that are gone are fine."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def remove_if_empty(*directories: Path) -> None:
    """rmdir in this order, which does not mind when a cgroup is gone or in use."""
    for directory in directories:
        with contextlib.suppress(OSError):
            directory.rmdir()


def own_cgroups() -> dict[str, str]:
    """Where this process is: controller -> path, ` for the unified hierarchy. Source: cgroups(7), /proc/pid/cgroup."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return {name: path for _, names, path in (line.split(":", 2) for line in lines) for name in names.split(",")}


def adopt(directory: Path, pid: int) -> None:
    """Move a process into a cgroup, made where need be."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cgroup.procs").write_text(str(pid))


@contextlib.contextmanager
def kernel_errors(verb: str, path: str) -> Iterator[None]:
    """OSError inside becomes CgroupError with what was being done."""
    try:
        yield
    except CgroupError:
        raise
    except OSError as error:
        file = error.filename.decode() if isinstance(error.filename, bytes) else error.filename
        raise CgroupError(error.errno, f"cannot {verb} cgroup {path}: {file or ''}: {error.strerror}") from error
