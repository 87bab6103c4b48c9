"""Which cgroups this machine has, read from its mount table."""

import os
from dataclasses import dataclass
from pathlib import Path

from runtimes.linux.cgroups.contract import CgroupError, Cgroups
from runtimes.linux.cgroups.v1 import CgroupsV1
from runtimes.linux.cgroups.v2 import CgroupsV2
from runtimes.linux.mountinfo import TABLE, parse

DEFAULT_ROOT = Path("/sys/fs/cgroup")
# options of a v1 mount that are not controllers
_MOUNT_OPTIONS = frozenset({"rw", "ro", "none", "xattr", "noprefix", "clone_children", "relatime"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounts:
    """`v1`: controller (or `name=systemd`) -> mount point. `v2`: mount point of the unified hierarchy, if any."""

    v1: dict[str, Path]
    v2: Path | None


def read_mounts(root: Path, table: str) -> Mounts:
    """Find the hierarchies mounted at or below `root` in a mountinfo text; of several mounts of one, the first."""
    v1: dict[str, Path] = {}
    v2: Path | None = None
    for entry in parse(table):
        point = Path(entry.point)
        if not point.is_relative_to(root):
            continue
        if entry.fstype == "cgroup2":
            v2 = v2 or point
        elif entry.fstype == "cgroup":
            for option in entry.options:
                if option not in _MOUNT_OPTIONS and not option.startswith("release_agent="):
                    v1.setdefault(option, point)
    return Mounts(v1=v1, v2=v2)


def detect(root: Path = DEFAULT_ROOT, mount_table: Path = TABLE) -> Cgroups:
    """v2 where the unified hierarchy is mounted at `root` itself; else v1, hybrid included. Raises CgroupError."""
    mounts = read_mounts(root, os.fsdecode(mount_table.read_bytes()))
    if mounts.v2 == root:
        return CgroupsV2(root)
    if not mounts.v1:
        raise CgroupError(f"no cgroups are mounted below {root}")
    return CgroupsV1(mounts.v1, mounts.v2)
