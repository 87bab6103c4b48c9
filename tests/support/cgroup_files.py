"""What the kernel's cgroup files say, in the words of either version, so that one test holds for both.

The files are read here and not with the agent's own reader: a test compares what the agent wrote and tells with this.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node_under_test import NodeUnderTest

ROOT = Path("/sys/fs/cgroup")
UNIFIED = (ROOT / "cgroup.controllers").exists()
VERSION = 2 if UNIFIED else 1
_NO_LIMIT = 2**62  # cgroup v1 writes "none" as the largest multiple of a page


def has_controller(name: str) -> bool:
    """Whether pods can be limited by it here: cpu, cpuset, memory, pids, hugetlb."""
    if UNIFIED:
        return name in (ROOT / "cgroup.controllers").read_text().split()
    return (ROOT / name / "cgroup.procs").exists()


@dataclass(frozen=True, slots=True)
class CgroupFiles:
    """The cgroup `path` ("/kubepods/pod1"). Every limit is None where there is none; a file that is not there raises OSError."""

    path: str

    def file(self, controller: str, name: str) -> Path:
        """A file by name, of the hierarchy that has `controller`."""
        return (ROOT if UNIFIED else ROOT / controller) / self.path.strip("/") / name

    def text(self, controller: str, name: str) -> str:
        return self.file(controller, name).read_text().strip()

    def exists(self) -> bool:
        """Under all controllers that pods are limited by and that this kernel has."""
        named = [name for name in ("cpu", "memory", "pids") if has_controller(name)]
        return all(self.file(name, "cgroup.procs").exists() for name in named)

    def processes(self) -> list[int]:
        """In it, without those below."""
        return [int(pid) for pid in self.text("memory", "cgroup.procs").split()]

    def cpu_share(self) -> int:
        """cpu.shares, or cpu.weight; compare with `share_of`."""
        return int(self.text("cpu", "cpu.weight" if UNIFIED else "cpu.shares"))

    def cpu_quota(self) -> tuple[int, int] | None:
        """(quota, period), both in µs."""
        if UNIFIED:
            quota, period = self.text("cpu", "cpu.max").split()
        else:
            quota, period = self.text("cpu", "cpu.cfs_quota_us"), self.text("cpu", "cpu.cfs_period_us")
        return None if quota in ("max", "-1") else (int(quota), int(period))

    def cpu_usage_seconds(self) -> float:
        if UNIFIED:
            return _figures(self.text("cpu", "cpu.stat"))["usage_usec"] / 1e6
        return int(self.text("cpuacct", "cpuacct.usage")) / 1e9

    def cpu_periods(self) -> tuple[int, int, float]:
        """(periods in which something ran, those that ended throttled, seconds throttled)."""
        figures = _figures(self.text("cpu", "cpu.stat"))
        seconds = figures["throttled_usec"] / 1e6 if UNIFIED else figures["throttled_time"] / 1e9
        return figures["nr_periods"], figures["nr_throttled"], seconds

    def memory_limit(self) -> int | None:
        return self._limit("memory", "memory.max" if UNIFIED else "memory.limit_in_bytes")

    def memory_usage(self) -> int:
        return int(self.text("memory", "memory.current" if UNIFIED else "memory.usage_in_bytes"))

    def memory_peak(self) -> int:
        """The most it has used. Version 2 has it since Linux 5.19."""
        return int(self.text("memory", "memory.peak" if UNIFIED else "memory.max_usage_in_bytes"))

    def memory_protection(self) -> dict[str, int | None]:
        """min, low and high of version 2, in bytes; None: all of it, or no bound. Empty on version 1."""
        return {name: self._limit("memory", f"memory.{name}") for name in ("min", "low", "high") if UNIFIED}

    def oom_kills(self) -> int:
        """Processes that the kernel killed for want of memory. Version 2 counts those below, too."""
        name = "memory.events" if UNIFIED else "memory.oom_control"
        return _figures(self.text("memory", name))["oom_kill"]

    def oom_group(self) -> bool:
        """Whether the kernel kills all processes of it together; version 1 cannot."""
        return UNIFIED and self.text("memory", "memory.oom.group") == "1"

    def pids_limit(self) -> int | None:
        return self._limit("pids", "pids.max")

    def pids_usage(self) -> int:
        """Threads, with those below."""
        return int(self.text("pids", "pids.current"))

    def cpuset(self) -> str:
        """CPUs as a list of ranges; empty: those of the cgroup above (version 2)."""
        return self.text("cpuset", "cpuset.cpus")

    def _limit(self, controller: str, name: str) -> int | None:
        text = self.text(controller, name)
        return None if text in ("max", "-1") or int(text) >= _NO_LIMIT else int(text)


def qos_cgroup(node: NodeUnderTest, qos: str) -> CgroupFiles:
    """The cgroup of all pods of a QoS class, as the cgroupfs driver names it. Source: docs/facts/node-resources.md 2.1."""
    folders = {"Guaranteed": "", "Burstable": "/burstable", "BestEffort": "/besteffort"}
    return CgroupFiles(f"{node.cgroup}/kubepods{folders[qos]}")


def pod_cgroup(node: NodeUnderTest, pod: dict[str, Any]) -> CgroupFiles:
    """A pod's, by its object with status."""
    return CgroupFiles(f"{qos_cgroup(node, pod['status']['qosClass']).path}/pod{pod['metadata']['uid']}")


def container_cgroup(node: NodeUnderTest, pod: dict[str, Any], container: str = "c") -> CgroupFiles:
    """A running container's, as the agent's own engine names it."""
    status = next(item for item in pod["status"]["containerStatuses"] if item["name"] == container)
    return CgroupFiles(f"{pod_cgroup(node, pod).path}/{status['containerID'].partition('://')[2]}")


def share_of(shares: int) -> int:
    """What `cpu_share` is for that many shares. Source: docs/facts/node-resources.md 2.2."""
    return 1 + (shares - 2) * 9999 // 262142 if UNIFIED else shares


def _figures(text: str) -> dict[str, int]:
    """Lines of a name and a number."""
    return {name: int(number) for name, number in (line.split() for line in text.splitlines())}
