"""The containers' cgroups: where they are on v1 and v2, what is left in them, and their removal.

The runtime makes a container's cgroup and writes its limits; the agent makes the pod's. This module reads, kills and removes.
A cgroup is named by its path below the hierarchy's root, as in the CRI: "/kubepods/burstable/pod<uid>/<container id>".
"""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from runtimes.linux import mountinfo

log = logging.getLogger(__name__)

_KILL_ROUNDS = 5
# v1 tells nobody when a cgroup becomes empty, and rmdir says EBUSY until the last zombie is reaped
_BUSY_WAIT_SECONDS = 0.01


def container_cgroup(parent: str, container_id: str, driver: str) -> str:
    """Where a container's processes are: below the pod's cgroup, or in a scope of the pod's slice."""
    if driver == "cgroupfs":
        return f"{parent.rstrip('/')}/{container_id}"
    return f"{expand_slice(slice_name(parent))}/nodeagent-{container_id}.scope"


def oci_cgroups_path(parent: str, container_id: str, driver: str) -> str:
    """The same for the bundle: systemd takes `slice:prefix:name`."""
    if driver == "cgroupfs":
        return f"{parent.rstrip('/')}/{container_id}"
    return f"{slice_name(parent)}:nodeagent:{container_id}"


def slice_name(parent: str) -> str:
    """The last part of a CRI cgroup parent: "/kubepods.slice/kubepods-pod1.slice" is the slice "kubepods-pod1.slice"."""
    return parent.rstrip("/").rpartition("/")[2] or "system.slice"


def expand_slice(name: str) -> str:
    """The path of a slice, whose dashes are its parents: a-b.slice is in /a.slice/a-b.slice (systemd.slice(5))."""
    parts = name.removesuffix(".slice").split("-")
    return "".join(f"/{'-'.join(parts[: count + 1])}.slice" for count in range(len(parts)))


@dataclass(frozen=True, slots=True)
class CgroupTree:
    """The mounted hierarchies: for v2 one, for v1 one a controller (hybrid hosts: v1 controllers and an empty v2).

    `roots` maps controller to mount point; "" is the v2 hierarchy, "name=systemd" systemd's own on v1.
    """

    roots: dict[str, Path]

    @classmethod
    def detect(cls, table: Path = mountinfo.TABLE) -> "CgroupTree":
        roots: dict[str, Path] = {}
        for entry in mountinfo.read_mounts(table):
            if entry.fstype == "cgroup2":
                roots.setdefault("", Path(entry.point))
            elif entry.fstype == "cgroup":
                for name in entry.options:
                    if name.startswith("name=") or name in _V1_CONTROLLERS:
                        roots.setdefault(name, Path(entry.point))
        return cls(roots)

    @property
    def unified(self) -> bool:
        """Pure v2: the memory controller is not a v1 hierarchy."""
        return "memory" not in self.roots

    def directory(self, controller: str, cgroup: str) -> Path:
        """The directory of a cgroup in a controller's hierarchy."""
        root = self.roots[""] if self.unified else self.roots[controller]
        return root / cgroup.lstrip("/")

    def directories(self, cgroup: str) -> list[Path]:
        """The directory of a cgroup in every hierarchy, once each, whether or not it exists."""
        return [root / cgroup.lstrip("/") for root in dict.fromkeys(self.roots.values())]

    def missing(self, cgroup: str, made: Collection[str] = ()) -> list[str]:
        """The directories on the way to `cgroup` that do not exist or are in `made`, in any hierarchy, shallowest first."""
        absent: list[str] = []
        for root in dict.fromkeys(self.roots.values()):
            at = root
            for part in Path(cgroup.lstrip("/")).parts:
                at /= part
                if str(at) in made or not at.exists():
                    absent.append(str(at))
        return sorted(absent, key=lambda path: path.count("/"))

    def processes(self, cgroup: str) -> set[int]:
        """All pids in the cgroup and below it."""
        pids: set[int] = set()
        for directory in self.directories(cgroup):
            for procs in directory.rglob("cgroup.procs"):
                with contextlib.suppress(OSError):
                    pids |= set(map(int, procs.read_text().split()))
            if pids:
                break  # every hierarchy of the engine holds the same processes
        return pids

    def kill(self, cgroup: str) -> None:
        """SIGKILL everything in the cgroup, until nothing is left or nothing changes. Blocks; call it off the loop."""
        for _ in range(_KILL_ROUNDS):
            pids = self.processes(cgroup)
            if not pids:
                return
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_BUSY_WAIT_SECONDS)

    def signal_others(self, cgroup: str, pid: int, number: int) -> None:
        """Signal all processes of the cgroup but one."""
        for other in self.processes(cgroup) - {pid}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(other, number)

    def remove(self, cgroup: str) -> None:
        """Remove the cgroup and what is below it in every hierarchy; what holds processes stays. Blocks."""
        for directory in self.directories(cgroup):
            if directory.exists():
                for below in sorted((path for path in directory.rglob("*") if path.is_dir()), reverse=True):
                    remove_empty(below)
                remove_empty(directory)

    def remove_if_empty(self, cgroup: str) -> None:
        """Remove the cgroup where it holds nothing. Blocks."""
        for directory in self.directories(cgroup):
            remove_empty(directory, rounds=1)

    def oom_kills(self, cgroup: str) -> int:
        """How many processes of the cgroup the kernel killed for want of memory; 0 when the cgroup is gone."""
        directory = self.directory("memory", cgroup)
        file = directory / ("memory.events" if self.unified else "memory.oom_control")
        with contextlib.suppress(OSError):
            for line in file.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
        return 0

    def adopt(self, pid: int, cgroup: str) -> None:
        """Move a process out of the agent's own cgroups into `cgroup`, in the hierarchies where the agent has one."""
        own = {
            controller: path
            for _, controllers, path in (
                line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()
            )
            for controller in controllers.split(",")
        }
        for controller, root in self.roots.items():
            # an own cpuset needs its CPUs copied first, and where a monitor runs matters to nobody
            if own.get(controller, "/") != "/" and controller != "cpuset":
                directory = root / cgroup.lstrip("/")
                directory.mkdir(parents=True, exist_ok=True)
                (directory / "cgroup.procs").write_text(str(pid))


def remove_empty(directory: Path, rounds: int = _KILL_ROUNDS) -> None:
    """rmdir that does not mind when the cgroup is gone or in use (the kernel needs a moment after the last exit)."""
    for _ in range(rounds):
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(_BUSY_WAIT_SECONDS)
        else:
            return


_V1_CONTROLLERS = frozenset(
    [
        "cpu",
        "cpuacct",
        "cpuset",
        "memory",
        "devices",
        "freezer",
        "blkio",
        "pids",
        "hugetlb",
        "net_cls",
        "net_prio",
        "perf_event",
        "rdma",
        "misc",
    ]
)
