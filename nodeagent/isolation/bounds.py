"""The cgroup that all of an evaluation runs in, pods and the host's column: what it may use of the machine, and its end."""

import fcntl
import os
import uuid
from pathlib import Path

from runtimes.linux.cgroups.cleanup import kill_all, remove_when_empty
from runtimes.linux.cgroups.contract import CgroupLimits, Cgroups

PIDS = 4096
MEMORY_SHARE, MAX_MEMORY_BYTES = 0.5, 6 * 2**30
CPU_SHARE = 0.9  # of all processors: who started this still has a machine
_PERIOD_US = 100_000
_PREFIX = "nodeagent-isolation-"
_LOCKS = Path("/run/nodeagent-isolation")


def limits(cpus: int, memory_bytes: int) -> CgroupLimits:
    """Of a machine with so much."""
    return CgroupLimits(
        cpu_quota_us=int(cpus * CPU_SHARE * _PERIOD_US),
        cpu_period_us=_PERIOD_US,
        memory_limit_bytes=min(int(memory_bytes * MEMORY_SHARE), MAX_MEMORY_BYTES),
        pids_limit=PIDS,
    )


class Bounds:
    """`token` is in the name of all that an evaluation makes on a machine; `path`: within the hierarchy. Every method blocks."""

    def __init__(self, cgroups: Cgroups, token: str = "", locks: Path = _LOCKS) -> None:
        self.token = token or uuid.uuid4().hex[:8]
        self.path = f"/{_PREFIX}{self.token}"
        self.cgroups = cgroups
        self._locks = locks
        self._lock = -1

    def claim(self) -> bool:
        """Take the lock of its token, which goes with this process: False, if somebody alive has it. Raises OSError."""
        self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._locks / self.token, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._lock = fd
        return True

    def make(self) -> None:
        """Raises CgroupError, OSError."""
        self.claim()
        memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self.cgroups.create(self.path)
        self.cgroups.apply(self.path, limits(os.cpu_count() or 1, memory_bytes))

    def take_in(self, pid: int, name: str) -> None:
        """Put a process of the host into a cgroup of that name here. Raises OSError."""
        below = f"{self.path}/{name}"
        self.cgroups.create(below)
        for directory in self.cgroups.directories(below):
            if Path(directory, "cgroup.procs").exists():
                Path(directory, "cgroup.procs").write_text(str(pid))

    def kill(self) -> None:
        """End everything in it: a runtime that hangs, a pod that does not stop."""
        kill_all(self.cgroups, self.path)

    def remove(self) -> list[str]:
        """Take it away, with those below it and its lock; what is left of it all the same."""
        remove_when_empty(self.cgroups, self.path)
        if self._lock >= 0:
            (self._locks / self.token).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1
        return [str(directory) for directory in self.cgroups.directories(self.path) if directory.is_dir()]


def tokens(cgroups: Cgroups) -> set[str]:
    """Of the cgroups of evaluations that there are."""
    found = (path.name for top in cgroups.directories("/") for path in top.glob(f"{_PREFIX}*"))
    return {name.removeprefix(_PREFIX) for name in found}
