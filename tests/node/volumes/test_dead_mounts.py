"""A volume whose server is gone, on the real kernel: a FUSE file system that nobody answers for, not even its first question."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from lightkube.models.core_v1 import EmptyDirVolumeSource, Volume

from nodeagent.stats.volumes import VolumeReader
from nodeagent.volumes import usage
from nodeagent.volumes.contract import VolumeSource, VolumeUsage
from nodeagent.volumes.usage import measured
from runtimes.linux.syscalls import MNT_DETACH, mount, umount

pytestmark = pytest.mark.node
DEAD = 6  # more than there are threads that measure


@pytest.fixture
def dead(tmp_path: Path) -> Iterator[list[Path]]:
    """Mount points that nobody gets an answer of. Whoever waits there is let go at the end."""
    servers, points = [], []
    try:
        for number in range(DEAD):
            point = tmp_path / f"dead-{number}"
            point.mkdir()
            servers.append(os.open("/dev/fuse", os.O_RDWR))
            mount("dead", str(point), "fuse", 0, f"fd={servers[-1]},rootmode=40000,user_id=0,group_id=0")
            points.append(point)
        yield points
    finally:
        for server in servers:
            os.close(server)
        for point in points:
            umount(str(point), MNT_DETACH)


class Volumes:
    """One folder a pod."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders
        self.ended: set[str] = set()

    def sources(self, uid: str) -> Mapping[str, VolumeSource]:
        return {"data": VolumeSource(volume=Volume(name="data", emptyDir=EmptyDirVolumeSource()))}

    async def usage(self, uid: str) -> Mapping[str, VolumeUsage]:
        try:
            return {"data": await measured(self._folders[uid])}
        finally:
            self.ended.add(uid)


async def test_servers_that_are_gone_keep_nobody_elses_figures(
    dead: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are: other pods' volumes are measured, again and again, and the dead ones are asked once."""
    monkeypatch.setattr(usage, "SLOW_SECONDS", 0.2)
    (tmp_path / "alive").mkdir()
    (tmp_path / "alive/file").write_bytes(bytes(10_000))
    volumes = Volumes({f"pod-{number}": point for number, point in enumerate(dead)} | {"alive": tmp_path / "alive"})
    reader = VolumeReader(volumes, period_seconds=0.0, wait_seconds=0.1)
    for _ in range(3):
        async with asyncio.timeout(30):
            found: Mapping[str, object] = {}
            while not found:
                found = await reader.read([f"pod-{number}" for number in range(DEAD)] + ["alive"])
                await asyncio.sleep(0.01)
        assert set(found) == {"alive"}
    assert volumes.ended == {"alive"}
