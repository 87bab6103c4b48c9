"""Which thresholds a node has."""

from nodeagent.config.eviction import Signal, parse_amount
from nodeagent.config.kubelet import DEFAULT_EVICTION_HARD
from nodeagent.eviction.thresholds import Layout, Settings, Threshold, for_layout, layout_of, thresholds


def threshold(signal: Signal, text: str, grace: float | None = None, reclaim: str = "") -> Threshold:
    return Threshold(
        signal=signal,
        amount=parse_amount(text),
        grace_seconds=grace,
        minimum_reclaim=parse_amount(reclaim) if reclaim else None,
    )


def test_the_defaults() -> None:
    """Memory, the pods' memory by the same amount, bytes and inodes of both file systems."""
    assert thresholds(Settings(hard=DEFAULT_EVICTION_HARD)) == (
        threshold(Signal.MEMORY, "100Mi"),
        threshold(Signal.NODEFS, "10%"),
        threshold(Signal.NODEFS_INODES, "5%"),
        threshold(Signal.IMAGEFS, "15%"),
        threshold(Signal.IMAGEFS_INODES, "5%"),
        threshold(Signal.ALLOCATABLE_MEMORY, "100Mi"),
    )


def test_soft_ones_and_reclaim() -> None:
    """A soft threshold has its grace, and both kinds the least that is to be reclaimed; shares of all or nothing are none."""
    settings = Settings(
        hard={"pid.available": "100", "nodefs.available": "0%"},
        soft={"pid.available": "20%", "imagefs.available": "100%"},
        soft_grace_seconds={"pid.available": 90.0},
        minimum_reclaim={"pid.available": "50"},
        enforced=False,
    )
    assert thresholds(settings) == (
        threshold(Signal.PIDS, "100", reclaim="50"),
        threshold(Signal.PIDS, "20%", 90.0, reclaim="50"),
    )


def test_the_pods_memory() -> None:
    """A hard threshold of memory is one of the pods' memory while that is enforced; one that is given counts instead."""
    hard = {"memory.available": "1Gi"}
    of_pods = threshold(Signal.ALLOCATABLE_MEMORY, "1Gi")
    assert of_pods in thresholds(Settings(hard=hard))
    assert of_pods not in thresholds(Settings(hard=hard, enforced=False))
    assert of_pods not in thresholds(Settings(hard={}, soft=hard, soft_grace_seconds={"memory.available": 1.0}))
    own = thresholds(Settings(hard=hard | {"allocatableMemory.available": "5%"}))
    assert own == (threshold(Signal.MEMORY, "1Gi"), threshold(Signal.ALLOCATABLE_MEMORY, "5%"))


def test_the_containers_file_system() -> None:
    """It has the thresholds of the file system that it is, never its own."""
    node, images = threshold(Signal.NODEFS, "10%"), threshold(Signal.IMAGEFS, "15%")
    found = thresholds(
        Settings(hard={"nodefs.available": "10%", "imagefs.available": "15%", "containerfs.available": "99%"})
    )
    assert found == (node, images)
    assert for_layout(found, Layout.SINGLE) == (node, images, threshold(Signal.CONTAINERFS, "10%"))
    assert for_layout(found, Layout.SPLIT) == (node, images, threshold(Signal.CONTAINERFS, "10%"))
    assert for_layout(found, Layout.DEDICATED_IMAGES) == (node, images, threshold(Signal.CONTAINERFS, "15%"))


def test_layouts() -> None:
    """By which of the three are the same."""
    assert layout_of(1, 1, 1) is Layout.SINGLE
    assert layout_of(1, 2, 2) is Layout.DEDICATED_IMAGES
    assert layout_of(1, 2, 1) is Layout.SPLIT
