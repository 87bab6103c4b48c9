"""Ending what runs in a cgroup, and removing it, for who waits in a thread; and finding what somebody else will have made.

A killed process leaves its cgroup only when the kernel has taken it apart. v1 has no event for that, and rmdir says EBUSY until
the last zombie is reaped: so a few rounds, some milliseconds apart. Whatever resists is logged, and no error.
"""

import logging
import time
from collections.abc import Collection
from itertools import accumulate

from runtimes.linux.cgroups.contract import CgroupError, Cgroups

log = logging.getLogger(__name__)

_ROUNDS = 5
_PAUSE_SECONDS = 0.01


def kill_all(cgroups: Cgroups, path: str) -> None:
    """SIGKILL everything in the cgroup, until nothing is left or nothing changes. Blocks."""
    try:
        for _ in range(_ROUNDS):
            if not cgroups.processes(path):
                return
            cgroups.kill(path)
            time.sleep(_PAUSE_SECONDS)
    except CgroupError as error:
        log.warning("%s", error)


def remove_when_empty(cgroups: Cgroups, path: str) -> None:
    """Remove the cgroup and what is below it in every hierarchy; what holds processes stays. Blocks."""
    try:
        for _ in range(_ROUNDS):
            if cgroups.remove(path):
                return
            time.sleep(_PAUSE_SECONDS)
    except CgroupError as error:
        log.warning("%s", error)


def missing(cgroups: Cgroups, path: str, made: Collection[str] = ()) -> list[str]:
    """The directories on the way to `path` that do not exist or are in `made`, in any hierarchy, shallowest first."""
    prefixes = accumulate((part for part in path.split("/") if part), lambda above, name: f"{above}/{name}")
    absent = [
        str(directory)
        for prefix in prefixes
        for directory in cgroups.directories(prefix)
        if str(directory) in made or not directory.exists()
    ]
    return sorted(absent, key=lambda directory: directory.count("/"))
