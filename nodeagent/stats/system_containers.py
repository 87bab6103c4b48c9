"""What the node's own groups of processes use: all pods together (`pods`), and this agent (`kubelet`).

Of the container runtime (`runtime`) and the rest of the system (`misc`) nobody says which cgroup they are in.
Source: docs/facts/node-resources.md 7.1.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from proto import cri_pb2 as cri
from runtimes.linux.cgroups.contract import Cgroups
from runtimes.linux.cgroups.tree import own_cgroups
from runtimes.usage import CgroupUsage

AGENT, PODS = "kubelet", "pods"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemContainer:
    """`stats` without attributes and without a writable layer. `started_ns`: when its cgroup was made."""

    name: str
    started_ns: int
    stats: cri.ContainerStats


class SystemContainerReader:
    """`paths`: name -> cgroup."""

    def __init__(self, cgroups: Cgroups, paths: Mapping[str, str]) -> None:
        self._cgroups = cgroups
        self._paths = dict(paths)
        self._usage = CgroupUsage(cgroups)

    def read(self) -> tuple[SystemContainer, ...]:
        """Those that have a cgroup now, by name. Blocks."""
        return tuple(found for name in sorted(self._paths) if (found := self._read(name)) is not None)

    def _read(self, name: str) -> SystemContainer | None:
        cgroup = self._paths[name]
        made_ns = []
        for directory in self._cgroups.directories(cgroup):
            with contextlib.suppress(OSError):
                made_ns.append(directory.stat().st_mtime_ns)
        if not made_ns:
            return None
        stats = cri.ContainerStats()
        self._usage.fill_container(stats, cgroup)
        return SystemContainer(name=name, started_ns=min(made_ns), stats=stats)


def agent_cgroup(version: int) -> str | None:
    """The cgroup that this process is in; None: it has none of its own, or one of another name for each resource."""
    found = own_cgroups()
    paths = {found.get("")} if version == 2 else {found.get("cpu"), found.get("memory")}
    path = paths.pop()
    return path if path not in (None, "", "/") and not paths else None
