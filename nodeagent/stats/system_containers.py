"""What groups of processes of the node use: all pods together (`pods`), each of their classes, and this agent (`kubelet`).

Of the container runtime (`runtime`) and the rest of the system (`misc`) nobody says which cgroup they are in.
Source: docs/facts/node-resources.md 7.1, 7.2.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proto import cri_pb2 as cri
from runtimes.cgroup_metrics import CgroupMetrics
from runtimes.linux.cgroups.contract import Cgroups
from runtimes.linux.cgroups.tree import own_cgroups
from runtimes.metrics import Row
from runtimes.usage import CgroupUsage

AGENT, PODS = "kubelet", "pods"
_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemContainer:
    """`stats` without attributes and without a writable layer. `name` "": it has none in a summary.

    `started_ns`: when its cgroup was made.
    """

    name: str
    cgroup: str
    started_ns: int
    stats: cri.ContainerStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """`rows`: the same groups under the names of the CRI's metrics."""

    usages: Sequence[SystemContainer]
    rows: Sequence[Row]

    @property
    def named(self) -> Sequence[SystemContainer]:
        """Those of a summary, by name."""
        return sorted((group for group in self.usages if group.name), key=lambda group: group.name)


class SystemContainerReader:
    """`paths`: cgroup -> its name, or ""."""

    def __init__(self, cgroups: Cgroups, paths: Mapping[str, str]) -> None:
        self._cgroups = cgroups
        self._paths = dict(paths)
        self._usage = CgroupUsage(cgroups)

    def read(self) -> Groups:
        """Those that have a cgroup now. Blocks."""
        usages = [found for cgroup, name in self._paths.items() if (found := self._read(cgroup, name)) is not None]
        return Groups(usages=usages, rows=[self._row(group) for group in usages])

    def _read(self, cgroup: str, name: str) -> SystemContainer | None:
        made_ns = []
        for directory in self._cgroups.directories(cgroup):
            with contextlib.suppress(OSError):
                made_ns.append(directory.stat().st_mtime_ns)
        if not made_ns:
            return None
        stats = cri.ContainerStats()
        self._usage.fill_container(stats, cgroup)
        return SystemContainer(name=name, cgroup=cgroup, started_ns=min(made_ns), stats=stats)

    def _row(self, group: SystemContainer) -> Row:
        row = Row(("", group.cgroup, "", "", "", ""), time.time_ns())
        # to go through all of their processes costs more than the rest of the page, and those below tell theirs
        CgroupMetrics(self._cgroups, group.cgroup).fill(row, each_process=False)
        row.add("container_start_time_seconds", group.started_ns // _NANO)
        row.add("container_last_seen", int(time.time()))
        return row


def agent_cgroup(version: int) -> str | None:
    """The cgroup that this process is in; None: it has none of its own, or one of another name for each resource."""
    found = own_cgroups()
    paths = {found.get("")} if version == 2 else {found.get("cpu"), found.get("memory")}
    path = paths.pop()
    return path if path not in (None, "", "/") and not paths else None
