"""How much of the pods' volumes is used. Counting a tree may take long, so it is done beside whoever asks.

A volume whose server is gone never answers: its pod is not asked about again, and keeps no other pod's figures back.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from nodeagent.volumes.contract import VolumeSource, VolumeUsage
from runtimes.linux.tasks import Background

WAIT_SECONDS = 1.0  # who asks waits so long for what is not counted yet
STOP_SECONDS = 5.0


class MeasuredVolumes(Protocol):
    """Implemented by `volumes.manager.VolumeManager`."""

    def sources(self, uid: str) -> Mapping[str, VolumeSource]: ...

    async def usage(self, uid: str) -> Mapping[str, VolumeUsage]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PodVolumeStats:
    """One pod's volumes by name. `time_ns`: when they were measured, since the epoch.

    `local`: those that take the disk that the node's own files are on, and end with the pod (docs/facts/node-resources.md 5.5).
    """

    time_ns: int
    volumes: Mapping[str, VolumeUsage]
    local: frozenset[str] = frozenset()


class VolumeReader:
    """`period_seconds`: how long a measurement counts; negative: nothing is measured (volumeStatsAggPeriod)."""

    def __init__(
        self,
        measured: MeasuredVolumes,
        *,
        period_seconds: float,
        wait_seconds: float = WAIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._measured = measured
        self._period_seconds = period_seconds
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._known: dict[str, tuple[float, PodVolumeStats]] = {}  # pod's uid -> (when by the clock, what)
        self._under_way: dict[str, tuple[float, asyncio.Task[None]]] = {}  # uid -> (since when by the clock, the work)
        self._background = Background()

    async def read(self, uids: Collection[str]) -> Mapping[str, PodVolumeStats]:
        """By pod. What cannot be measured at once is there in a later answer; until then its last measurement, if any."""
        if self._period_seconds < 0:
            return {}
        self._known = {uid: kept for uid, kept in self._known.items() if uid in uids}
        now = self._clock()
        for uid in uids:
            kept = self._known.get(uid)
            if uid not in self._under_way and (kept is None or now - kept[0] >= self._period_seconds):
                work = self._background.spawn(self._measure(uid), name=f"usage of volumes of pod {uid}")
                self._under_way[uid] = (now, work)
        # nobody waits for what somebody has waited for in vain
        pending = [
            work for uid, (since, work) in self._under_way.items() if uid in uids and now - since < self._wait_seconds
        ]
        if pending:
            await asyncio.wait(pending, timeout=self._wait_seconds)
        return {uid: stats for uid, (_, stats) in self._known.items() if uid in uids}

    async def stop(self) -> None:
        """Wait for measurements that are under way, not for long."""
        await self._background.drain(STOP_SECONDS)

    async def _measure(self, uid: str) -> None:
        began = self._clock()
        try:
            volumes = await self._measured.usage(uid)
            sources = self._measured.sources(uid)
            local = frozenset(name for name, source in sources.items() if is_local(source))
            self._known[uid] = (began, PodVolumeStats(time_ns=time.time_ns(), volumes=volumes, local=local))
        finally:
            del self._under_way[uid]


def is_local(source: VolumeSource) -> bool:
    """As `PodVolumeStats.local`."""
    declared = source.volume
    in_a_folder = declared.emptyDir is not None and not declared.emptyDir.medium
    return in_a_folder or declared.configMap is not None or declared.gitRepo is not None
