"""The cgroups of the node's pods: /kubepods, its QoS classes, one for each pod. Source: docs/facts/node-resources.md 2.

    /kubepods                     everything that pods may use of the node
    /kubepods/pod<uid>            Guaranteed
    /kubepods/burstable/pod<uid>  Burstable;  its shares follow the requests of its pods
    /kubepods/besteffort/pod<uid> BestEffort; shares always 2

State is what the kernel has; there is none here.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nodeagent.cgroups.naming import (
    QOS_BEST_EFFORT,
    QOS_BURSTABLE,
    QOS_GUARANTEED,
    CgroupfsNaming,
    Naming,
    pod_components,
    qos_components,
    uid_of_component,
)
from nodeagent.cgroups.slices import NoSlices, Slices
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits, Cgroups

KUBEPODS = "kubepods"
MIN_SHARES = 2
_QOS_CLASSES = (QOS_GUARANTEED, QOS_BURSTABLE, QOS_BEST_EFFORT)
_UNBOUNDED_HUGE_PAGES_BYTES = 1 << 62
# A killed process leaves its cgroup when the kernel has taken it apart; v1 has no event for that.
_KILL_ROUNDS = 5
_REMOVE_PAUSES_SECONDS = (0.001, 0.004, 0.016, 0.064, 0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMemory:
    """What reclaim leaves to pods: to those that ask for any, at all costs; to the Burstable ones, while others have some."""

    node_bytes: int
    burstable_bytes: int


class PodCgroups:
    """`root`: cgroupRoot as its components, `("natest-1",)` for `/natest-1`. Verbs on one pod are kept in order by callers.

    `observe` hears how long each pod's cgroup took to `create`, `update` and `destroy`, in seconds.
    """

    def __init__(
        self,
        cgroups: Cgroups,
        *,
        naming: Naming | None = None,
        root: Sequence[str] = (),
        slices: Slices | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        observe: Callable[[str, float], None] = lambda operation, seconds: None,
    ) -> None:
        self._cgroups = cgroups
        self._naming = naming or CgroupfsNaming()
        self._root = (*root, KUBEPODS)
        self._slices = slices or NoSlices()
        self._sleep = sleep
        self._observe = observe

    @property
    def root_path(self) -> str:
        """cgroupRoot, in which all of it is."""
        return self._naming.path(self._root[:-1])

    @property
    def node_path(self) -> str:
        return self._naming.path(self._root)

    @property
    def class_paths(self) -> tuple[str, ...]:
        """Of the QoS classes that have a cgroup between the node's and their pods'."""
        return tuple(self._naming.path(qos_components(self._root, qos)) for qos in (QOS_BURSTABLE, QOS_BEST_EFFORT))

    def pod_path(self, uid: str, qos: str) -> str:
        """Path of a pod's cgroup, also the CRI's cgroup_parent."""
        return self._naming.path(pod_components(self._root, qos, uid))

    def find(self, uid: str) -> str | None:
        """Path of the pod's cgroup, in whatever class it is; None: it has none. Blocks, off the event loop."""
        paths = (self.pod_path(uid, qos) for qos in _QOS_CLASSES)
        return next((path for path in paths if self._cgroups.exists(path)), None)

    async def start(self, node_limits: CgroupLimits) -> None:
        """Make the cgroups that pods live in, with the node's limits. Repeatable. Raises CgroupError."""
        wanted = self._wanted(node_limits)
        for path, limits in wanted.items():
            await self._slices.start(path, limits)
        await asyncio.to_thread(self._start, wanted)

    async def limit_existing(self, name: str, limits: CgroupLimits) -> None:
        """Hold a cgroup of others (`/system`) to limits. Raises CgroupError, also when it is not there."""
        path = self._naming.path(tuple(part for part in name.split("/") if part))
        if not await asyncio.to_thread(self._cgroups.exists, path):
            raise CgroupError(f"cgroup {path} does not exist")
        await self._apply(path, limits if limits.memory_limit_bytes is None else self._with_all_page_sizes(limits, 0))

    async def set_class_limits(self, shares: int, memory: KeptMemory | None) -> None:
        """Bring the Burstable class in line with what its pods ask for, and the memory that reclaim leaves to pods.

        Raises CgroupError.
        """
        low = {} if memory is None else {"memory.low": str(memory.burstable_bytes)}
        path = self._naming.path(qos_components(self._root, QOS_BURSTABLE))
        if memory is not None:
            await self._apply(self.node_path, CgroupLimits(unified={"memory.min": str(memory.node_bytes)}))
        await self._apply(path, CgroupLimits(cpu_shares=max(MIN_SHARES, shares), unified=low))

    async def ensure(self, uid: str, qos: str, limits: CgroupLimits) -> str:
        """The pod's cgroup, made with `limits` unless it is there already; its cgroup_parent. Raises CgroupError."""
        path = self.pod_path(uid, qos)
        if not await asyncio.to_thread(self._cgroups.exists, path):
            with self._timed("create"):
                await self._slices.start(path, limits)
                await asyncio.to_thread(self._create, path, limits)
        return path

    async def apply(self, uid: str, qos: str, limits: CgroupLimits) -> None:
        """New limits for a pod that has its cgroup (in-place resize). Raises CgroupError."""
        with self._timed("update"):
            await self._apply(self.pod_path(uid, qos), limits)

    async def limits(self, uid: str, qos: str) -> CgroupLimits:
        """What the kernel holds a pod to. Raises CgroupError."""
        return await asyncio.to_thread(self._cgroups.limits, self.pod_path(uid, qos))

    async def memory_usage_bytes(self, uid: str, qos: str) -> int:
        """Raises CgroupError."""
        return (await asyncio.to_thread(self._cgroups.stats, self.pod_path(uid, qos))).memory_usage_bytes

    async def exists(self, uid: str, qos: str) -> bool:
        return await asyncio.to_thread(self._cgroups.exists, self.pod_path(uid, qos))

    async def remove(self, uid: str) -> None:
        """Kill what is left in the pod's cgroup and remove it, in whatever class it is. Nothing there is fine.

        Raises CgroupError when something in it cannot be killed.
        """
        with self._timed("destroy"):
            for qos in _QOS_CLASSES:
                await self._remove(self.pod_path(uid, qos))

    async def list(self) -> frozenset[str]:
        """UIDs of the pods that have a cgroup."""
        return await asyncio.to_thread(self._list)

    async def remove_all(self) -> None:
        """Remove the whole tree when the node is given up. Raises CgroupError."""
        await self._remove(self.node_path)

    @contextlib.contextmanager
    def _timed(self, operation: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._observe(operation, time.monotonic() - began)

    def _wanted(self, node_limits: CgroupLimits) -> dict[str, CgroupLimits]:
        """The cgroups above the pods', parents first."""
        unbounded = self._with_all_page_sizes(CgroupLimits(), _UNBOUNDED_HUGE_PAGES_BYTES)
        return {
            self.node_path: self._with_all_page_sizes(node_limits, 0),
            # pods that run already keep the burstable class at its shares until they are counted again
            self._naming.path(qos_components(self._root, QOS_BURSTABLE)): unbounded,
            self._naming.path(qos_components(self._root, QOS_BEST_EFFORT)): replace(unbounded, cpu_shares=MIN_SHARES),
        }

    def _start(self, wanted: Mapping[str, CgroupLimits]) -> None:
        for path, limits in wanted.items():
            self._cgroups.create(path)
            self._cgroups.apply(path, limits)

    def _create(self, path: str, limits: CgroupLimits) -> None:
        try:
            self._cgroups.create(path)
            self._cgroups.apply(path, self._with_all_page_sizes(limits, 0))
        except CgroupError:
            # a pod's cgroup that is there is taken as complete: leave none behind without its limits
            self._cgroups.remove(path)
            raise

    async def _apply(self, path: str, limits: CgroupLimits) -> None:
        await self._slices.update(path, limits)
        await asyncio.to_thread(self._cgroups.apply, path, limits)

    def _with_all_page_sizes(self, limits: CgroupLimits, default_bytes: int) -> CgroupLimits:
        sizes = {size: limits.hugetlb_bytes.get(size, default_bytes) for size in self._cgroups.huge_page_sizes}
        return replace(limits, hugetlb_bytes=sizes)

    async def _remove(self, path: str) -> None:
        await self._slices.stop(path)
        if await asyncio.to_thread(self._cgroups.remove, path):
            return
        for attempt, pause_seconds in enumerate(_REMOVE_PAUSES_SECONDS):
            if attempt < _KILL_ROUNDS:
                await asyncio.to_thread(self._cgroups.kill, path)
            await self._sleep(pause_seconds)
            if await asyncio.to_thread(self._cgroups.remove, path):
                return
        left = await asyncio.to_thread(self._cgroups.processes, path)
        raise CgroupError(f"cgroup {path} cannot be removed: processes {sorted(left)} are still in it")

    def _list(self) -> frozenset[str]:
        found: set[str] = set()
        for qos in _QOS_CLASSES:
            for name in self._cgroups.children(self._naming.path(qos_components(self._root, qos))):
                uid = uid_of_component(self._naming.last_component(name))
                if uid is not None:
                    found.add(uid)
        return frozenset(found)
