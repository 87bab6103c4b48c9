"""Who goes first, signal by signal: tables."""

from typing import Any

import pytest
from agent_pods import agent_pod

from nodeagent.config.eviction import Signal
from nodeagent.eviction.ranking import on_disk, victims
from nodeagent.eviction.thresholds import Layout
from nodeagent.eviction.usage import ContainerUsage, PodUsage
from nodeagent.stats.disk_usage import DiskUsage

VOLUMES = [
    {"name": "disk", "emptyDir": {}},
    {"name": "files", "configMap": {"name": "x"}},
    {"name": "memory", "emptyDir": {"medium": "Memory"}},
    {"name": "host", "hostPath": {"path": "/x"}},
]


def usage(
    name: str,
    *,
    memory: int = 0,
    disk: int = 0,
    inodes: int = 0,
    processes: int = 0,
    requests: dict[str, str] | None = None,
    known: bool = True,
    **spec: Any,
) -> PodUsage:
    container = {"name": "c", "resources": {"requests": requests or {}}}
    pod = agent_pod({"metadata": {"name": name}, "spec": {"containers": [container], **spec}})
    layer = ContainerUsage(memory_bytes=memory, layer=DiskUsage(disk, inodes))
    return PodUsage(pod=pod, known=known, memory_bytes=memory, processes=processes, containers={"c": layer})


def names(usages: list[PodUsage], signal: Signal) -> list[str]:
    return [str(item.pod.metadata.name) for item in victims(usages, signal, Layout.SINGLE)]


def test_memory() -> None:
    """Unknown ones, then those above their requests, by priority, then by how far above."""
    pods = [
        usage("within", memory=900, requests={"memory": "1000"}),
        usage("above", memory=1100, requests={"memory": "1000"}),
        usage("far-above", memory=500),
        usage("important", memory=5000, priority=10),
        usage("within-unimportant", memory=1, requests={"memory": "1000"}, priority=-5),
        usage("unknown", known=False, priority=100),
    ]
    order = ["unknown", "far-above", "above", "important", "within-unimportant", "within"]
    for signal in (Signal.MEMORY, Signal.ALLOCATABLE_MEMORY):
        assert names(pods, signal) == order


def test_disk() -> None:
    """As for memory, by what is requested of the disk."""
    pods = [
        usage("within", disk=900, requests={"ephemeral-storage": "1000"}),
        usage("above", disk=1100, requests={"ephemeral-storage": "1000"}),
        usage("far-above", disk=500),
        usage("unimportant", disk=1, priority=-1),
    ]
    order = ["unimportant", "far-above", "above", "within"]
    for signal in (Signal.NODEFS, Signal.IMAGEFS, Signal.CONTAINERFS):
        assert names(pods, signal) == order


def test_inodes() -> None:
    """Nobody requests any: every one exceeds; the difference is to the request in bytes, as upstream has it."""
    pods = [
        usage("few", inodes=10),
        usage("many", inodes=1000),
        usage("none"),
        usage("requests", inodes=2000, requests={"ephemeral-storage": "1500"}),
    ]
    assert names(pods, Signal.NODEFS_INODES) == ["many", "requests", "few", "none"]


def test_tasks() -> None:
    """Priority, then the number of processes; statistics or not."""
    pods = [
        usage("few", processes=3),
        usage("many", processes=300),
        usage("important", processes=9000, priority=1),
        usage("unknown", known=False),
    ]
    assert names(pods, Signal.PIDS) == ["many", "few", "unknown", "important"]


@pytest.mark.parametrize(
    "critical",
    [
        usage("a", memory=9, priority=2_000_000_000),
        usage("a", memory=9, priority=2_000_001_000),
    ],
)
def test_critical_pods_are_spared(critical: PodUsage) -> None:
    """Not even when there is nobody else."""
    assert names([critical], Signal.MEMORY) == []
    assert names([critical, usage("b", memory=1)], Signal.MEMORY) == ["b"]


ALL, LOGS_AND_VOLUMES, LAYERS, NONE = DiskUsage(111, 3), DiskUsage(101, 2), DiskUsage(10, 1), DiskUsage()


@pytest.mark.parametrize(
    ("layout", "nodefs", "imagefs", "containerfs"),
    [
        (Layout.SINGLE, ALL, ALL, ALL),
        (Layout.DEDICATED_IMAGES, LOGS_AND_VOLUMES, LAYERS, LAYERS),
        (Layout.SPLIT, ALL, NONE, ALL),
    ],
)
def test_what_is_where(layout: Layout, nodefs: DiskUsage, imagefs: DiskUsage, containerfs: DiskUsage) -> None:
    """By layout: writable layers, logs, and volumes that are the node's own disk."""
    pod = agent_pod({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}], "volumes": VOLUMES}})
    volumes = {"disk": DiskUsage(100, 1), "memory": DiskUsage(1000, 1), "host": DiskUsage(10_000, 1)}
    containers = {"c": ContainerUsage(layer=DiskUsage(10, 1), logs=DiskUsage(1, 1))}
    found = PodUsage(pod=pod, containers=containers, volumes=volumes)
    assert on_disk(found, Signal.NODEFS, layout) == on_disk(found, Signal.NODEFS_INODES, layout) == nodefs
    assert on_disk(found, Signal.IMAGEFS, layout) == on_disk(found, Signal.IMAGEFS_INODES, layout) == imagefs
    assert on_disk(found, Signal.CONTAINERFS, layout) == containerfs
