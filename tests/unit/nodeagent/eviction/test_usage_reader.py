"""What pods use, put together from those who measure it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent_pods import agent_pod
from lightkube.models.core_v1 import CSIVolumeSource, EmptyDirVolumeSource, Volume

from nodeagent.eviction.usage import ContainerUsage, PodUsage
from nodeagent.eviction.usage_reader import LimitedVolumes, UsageReader
from nodeagent.stats.disk_usage import DiskUsage
from nodeagent.stats.pod_files import PodFilesReader
from nodeagent.stats.pods import ContainerStats, PodsSnapshot, PodStats
from nodeagent.stats.volumes import VolumeReader
from nodeagent.volumes.contract import VolumeSource, VolumeUsage
from proto import cri_pb2 as cri


class Statistics:
    async def pods(self, *, fresh: bool = False) -> PodsSnapshot:
        assert fresh
        container = cri.ContainerStats()
        container.memory.working_set_bytes.value = 70
        container.writable_layer.used_bytes.value, container.writable_layer.inodes_used.value = 5, 2
        sandbox = cri.PodSandboxStats()
        sandbox.linux.memory.working_set_bytes.value = 80
        sandbox.linux.process.process_count.value = 4
        named = ContainerStats(name="c", image="", created_ns=0, stats=container)
        pod = PodStats(namespace="n", name="a", uid="a", created_ns=0, stats=sandbox, containers=(named,))
        return PodsSnapshot(pods=(pod,), complete=True)


class Volumes:
    """Two that count, and one of a driver that is never to be asked."""

    def sources(self, uid: str) -> Mapping[str, VolumeSource]:
        folder = EmptyDirVolumeSource()
        declared = {name: Volume(name=name, emptyDir=folder) for name in "vb"}
        declared["driven"] = Volume(name="driven", csi=CSIVolumeSource(driver="d"))
        return {name: VolumeSource(volume=volume) for name, volume in declared.items()}

    async def usage(self, uid: str, wanted: Callable[[VolumeSource], bool]) -> Mapping[str, VolumeUsage]:
        assert {name for name, source in self.sources(uid).items() if wanted(source)} == {"v", "b"}
        return {"v": VolumeUsage(capacity_bytes=9, used_bytes=3, inodes_used=1), "b": VolumeUsage(capacity_bytes=9)}


def pod(name: str) -> Any:
    return agent_pod({"metadata": {"name": name, "uid": name}, "spec": {"containers": [{"name": "c"}]}})


def reader(folder: Path) -> UsageReader:
    files = PodFilesReader(lambda namespace, name, uid: folder / uid, lambda uid: folder / f"{uid}.hosts")
    return UsageReader(Statistics(), VolumeReader(LimitedVolumes(Volumes()), period_seconds=1.0), files)


async def test_memory_alone(tmp_path: Path) -> None:
    """Neither volumes nor logs are walked; a pod of which there are no statistics is told apart."""
    a, b = pod("a"), pod("b")
    assert await reader(tmp_path).read([a, b], disks=False) == [
        PodUsage(
            pod=a,
            memory_bytes=80,
            processes=4,
            containers={"c": ContainerUsage(memory_bytes=70, layer=DiskUsage(5, 2))},
        ),
        PodUsage(pod=b, known=False),
    ]


async def test_disks_too(tmp_path: Path) -> None:
    """Logs by container, rotated ones with the others, of containers that run no more, too; links lead nowhere."""
    for name in ("c", "gone"):
        (tmp_path / "a" / name).mkdir(parents=True)
        (tmp_path / "a" / name / "0.log").write_bytes(b"x" * 10_000)
    (tmp_path / "a" / "c" / "0.log.20260101-000000.gz").write_bytes(b"x" * 10_000)
    (tmp_path / "a" / "link").symlink_to("/")
    (tmp_path / "a.hosts").write_bytes(b"x" * 9000)
    (found,) = await reader(tmp_path).read([pod("a")], disks=True)
    assert found.volumes == {"v": DiskUsage(3, 1), "b": DiskUsage(0, 0)}
    assert found.files.inodes_used == 2 and found.local_volumes.used_bytes == found.files.used_bytes >= 9000
    assert set(found.containers) == {"c", "gone"}
    assert found.containers["c"].logs.inodes_used == 3 and found.containers["gone"].logs.inodes_used == 2
    assert found.containers["c"].logs.used_bytes >= 20_000 > found.containers["gone"].logs.used_bytes >= 10_000
    assert found.containers["c"].layer == DiskUsage(5, 2)
