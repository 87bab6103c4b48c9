"""Trees that others change while they are read; `Path.rglob` fails for a folder that vanishes before its turn (CPython 3.11)."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def paths_below(folder: Path) -> Iterator[Path]:
    """All files and folders below; what has gone when its turn comes is passed over."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(parent, name)


def cgroups_below(path: str) -> list[Path]:
    """Below the cgroup `path` ("/name"), in every hierarchy of either version."""
    return [found for folder in _folders(path) for found in paths_below(folder) if found.is_dir()]


def remove_cgroups(path: str) -> None:
    """The cgroup `path` and those below it; one that is in use stays."""
    for found in [*sorted(cgroups_below(path), reverse=True), *_folders(path)]:
        with contextlib.suppress(OSError):
            found.rmdir()


def _folders(path: str) -> list[Path]:
    """Where the cgroup is: below the mount of version 2, or of each hierarchy of version 1."""
    return [folder for root in (_CGROUPS, *_CGROUPS.glob("*/")) if (folder := root / path[1:]).is_dir()]
