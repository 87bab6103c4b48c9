"""Who has to be told of a pod's cgroup besides the kernel: systemd, where it owns the tree."""

from typing import Protocol

from runtimes.linux.cgroups.contract import CgroupLimits


class Slices(Protocol):
    """Who has to be told of a cgroup besides the kernel. Paths are those of the hierarchy."""

    async def start(self, path: str, limits: CgroupLimits) -> None:
        """Before the cgroup is used. There already is fine. Raises CgroupError."""
        ...

    async def update(self, path: str, limits: CgroupLimits) -> None: ...

    async def stop(self, path: str) -> None:
        """Before the cgroup is removed. Not there is fine. Raises CgroupError."""
        ...


class NoSlices:
    """The driver `cgroupfs`: nothing but the kernel needs to know."""

    async def start(self, path: str, limits: CgroupLimits) -> None:
        return

    async def update(self, path: str, limits: CgroupLimits) -> None:
        return

    async def stop(self, path: str) -> None:
        return
