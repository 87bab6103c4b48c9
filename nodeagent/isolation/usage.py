"""What the host's kernel counts of a pod: of its cgroup, and of the programs that hold it from outside."""

import contextlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from nodeagent.isolation.contract import StageError, Usage
from runtimes.linux.cgroups.contract import CgroupError, Cgroups

_TIERS = ("", "/burstable", "/besteffort")
_HOLDERS = ("conmon", "containerd-shim")  # what is a pod's own, outside of its cgroup
_PROC = Path("/proc")


def usage_of(uid: str, cgroups: Cgroups, root: str, proc: Path = _PROC) -> Usage:
    """`root`: the cgroup that the node's pods are below. Blocks. Raises StageError: no cgroup of that pod."""
    path = next((each for each in _paths(uid, root) if cgroups.exists(each)), None)
    if path is None:
        raise StageError(f"the pod with the UID {uid} has no cgroup")
    try:
        inside = cgroups.processes(path)
        stats = cgroups.stats(path)
    except CgroupError as error:
        raise StageError(str(error)) from error
    memory: Counter[str] = Counter()
    for pid in inside | holders(uid, inside, proc):
        memory[_name(proc / str(pid))] += pss_bytes(proc / str(pid))
    return Usage(cpu_ns=stats.cpu_usage_ns, pids=stats.pids, pss_bytes=dict(memory))


def _paths(uid: str, root: str) -> Iterable[str]:
    return (f"{root}/kubepods{tier}/pod{uid}" for tier in _TIERS)


def holders(uid: str, inside: Iterable[int], proc: Path = _PROC) -> frozenset[int]:
    """Processes that are there for this pod alone: their command line names it, or they are a shim that is the parent of its own.

    Programs that go from pod to pod (a runtime's daemon, the agent) are none.
    """
    parents = {_parent(proc / str(pid)) for pid in inside}
    found = set()
    for folder in proc.iterdir():
        if not folder.name.isdigit() or not _name(folder).startswith(_HOLDERS):
            continue
        if int(folder.name) in parents or uid in _command(folder):
            found.add(int(folder.name))
    return frozenset(found)


def pss_bytes(process: Path) -> int:
    """Of a folder of /proc; 0 for a process that has ended."""
    with contextlib.suppress(OSError, ValueError):
        for line in (process / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _command(process: Path) -> str:
    with contextlib.suppress(OSError):
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _name(process: Path) -> str:
    """Of its program; gVisor's processes say themselves what they are."""
    words = _command(process).split()
    if words and (name := words[0].rpartition("/")[2]) and name != "exe":
        return name
    with contextlib.suppress(OSError):
        return (process / "comm").read_text().strip()
    return "ended"


def _parent(process: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    return 0
