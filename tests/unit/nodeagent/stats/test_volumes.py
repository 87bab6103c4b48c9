"""What is used of volumes, measured beside whoever asks."""

import asyncio
from collections.abc import Mapping

from lightkube.models.core_v1 import (
    ConfigMapVolumeSource,
    EmptyDirVolumeSource,
    HostPathVolumeSource,
    Volume,
)

from nodeagent.stats.volumes import VolumeReader
from nodeagent.volumes.contract import VolumeSource, VolumeUsage


class Volumes:
    """Each pod has a volume `data`; how much is used: how often it was measured. `slow` answers when `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.measured: list[str] = []

    def sources(self, uid: str) -> Mapping[str, VolumeSource]:
        return {
            "data": VolumeSource(volume=Volume(name="data")),
            "scratch": VolumeSource(volume=Volume(name="scratch", emptyDir=EmptyDirVolumeSource())),
            "ram": VolumeSource(volume=Volume(name="ram", emptyDir=EmptyDirVolumeSource(medium="Memory"))),
            "keys": VolumeSource(volume=Volume(name="keys", configMap=ConfigMapVolumeSource(name="k"))),
            "host": VolumeSource(volume=Volume(name="host", hostPath=HostPathVolumeSource(path="/"))),
        }

    async def usage(self, uid: str) -> Mapping[str, VolumeUsage]:
        self.measured.append(uid)
        used = self.measured.count(uid)
        if uid == "slow":
            await self.go.wait()
        return {"data": VolumeUsage(capacity_bytes=9, used_bytes=used)}


async def used(reader: VolumeReader, *uids: str) -> dict[str, int | None]:
    return {uid: found.volumes["data"].used_bytes for uid, found in (await reader.read(uids)).items()}


async def test_a_measurement_counts_for_its_period() -> None:
    """Then it is made again, for pods alone that are asked for."""
    volumes, now = Volumes(), [0.0]
    reader = VolumeReader(volumes, period_seconds=60.0, clock=lambda: now[0])
    assert await used(reader, "a", "b") == {"a": 1, "b": 1}
    now[0] = 59.0
    assert await used(reader, "a", "b") == {"a": 1, "b": 1}
    now[0] = 60.0
    assert await used(reader, "a") == {"a": 2}
    assert volumes.measured == ["a", "b", "a"]


async def test_nobody_waits_for_a_large_volume() -> None:
    """It is missing until it is measured, once however often it is asked for; meanwhile the others are told."""
    volumes = Volumes()
    reader = VolumeReader(volumes, period_seconds=60.0, wait_seconds=0.001)
    assert await used(reader, "a", "slow") == {"a": 1}
    assert await used(reader, "a", "slow") == {"a": 1}
    volumes.go.set()
    await reader.stop()
    assert await used(reader, "a", "slow") == {"a": 1, "slow": 1}
    assert volumes.measured == ["a", "slow"]


async def test_a_negative_period_measures_nothing() -> None:
    """volumeStatsAggPeriod: -1s, as upstream."""
    volumes = Volumes()
    assert (await used(VolumeReader(volumes, period_seconds=-1.0), "a"), volumes.measured) == ({}, [])


async def test_what_volumes_are() -> None:
    """Which take the node's own disk: not those in memory, nor what is the host's anyway."""
    (found,) = (await VolumeReader(Volumes(), period_seconds=60.0).read(["a"])).values()
    assert found.local == {"scratch", "keys"}


async def test_nobody_waits_again_for_a_volume_that_does_not_answer() -> None:
    """A server that is gone costs one answer its wait, and no answer after that anything."""
    volumes, now = Volumes(), [0.0]
    reader = VolumeReader(volumes, period_seconds=60.0, wait_seconds=0.001, clock=lambda: now[0])
    await reader.read(["slow"])
    now[0] = 0.001
    asking = asyncio.ensure_future(reader.read(["slow"]))
    await asyncio.sleep(0)
    assert asking.done() and asking.result() == {}
    volumes.go.set()
    await reader.stop()
