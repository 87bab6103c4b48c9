"""Directories of a cgroup hierarchy, and what its kernel answers."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from runtimes.linux.cgroups.contract import CgroupError


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


def remove_tree(directory: str) -> bool:
    """rmdir from the leaves up, everything that can be. False: something in it is still in use."""
    done = [remove_tree(f"{directory}/{name}") for name in subdirectories(directory)]  # each, whatever the others say
    try:
        Path(directory).rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
        return False
    return all(done)


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
