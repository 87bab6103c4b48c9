"""Limits of the local disk: which pod has exceeded which."""

from typing import Any

import pytest
from agent_pods import agent_pod

from nodeagent.eviction.local_limits import Violation, has_limits, violation
from nodeagent.eviction.local_storage import pause_seconds
from nodeagent.eviction.thresholds import Layout
from nodeagent.eviction.usage import ContainerUsage, PodUsage
from nodeagent.stats.disk_usage import DiskUsage

LIMIT = {"resources": {"limits": {"ephemeral-storage": "100"}}}
VOLUME = {"name": "v", "emptyDir": {"sizeLimit": "50"}}


def usage(
    *containers: dict[str, Any], layer: int = 0, logs: int = 0, volume: int | None = None, volumes: Any = ()
) -> PodUsage:
    named = [{"name": f"c{number}", **fields} for number, fields in enumerate(containers or ({},))]
    pod = agent_pod({"metadata": {"name": "p"}, "spec": {"containers": named, "volumes": list(volumes)}})
    used = {"c0": ContainerUsage(layer=DiskUsage(layer), logs=DiskUsage(logs))}
    return PodUsage(pod=pod, containers=used, volumes={} if volume is None else {"v": DiskUsage(volume)})


def of_volume(limit: str) -> Violation:
    return Violation(signal="emptydirfs.limit", message=f'Usage of EmptyDir volume "v" exceeds the limit "{limit}". ')


OF_POD = Violation(
    signal="ephemeralpodfs.limit",
    message="Pod ephemeral local storage usage exceeds the total limit of containers 100. ",
)
OF_CONTAINER = Violation(
    signal="ephemeralcontainerfs.limit", message='Container c0 exceeded its local ephemeral storage limit "100". '
)


@pytest.mark.parametrize(
    ("found", "layout", "expected"),
    [
        (usage(layer=10**9, volume=10**9), Layout.SINGLE, None),
        (usage(volume=51, volumes=[VOLUME]), Layout.SINGLE, of_volume("50")),
        (usage(volume=50, volumes=[VOLUME]), Layout.SINGLE, None),
        (usage(volume=None, volumes=[VOLUME]), Layout.SINGLE, None),
        (usage(volume=9999, volumes=[{"name": "v", "emptyDir": {"sizeLimit": "0"}}]), Layout.SINGLE, None),
        (
            usage(volume=2**21, volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1024Ki"}}]),
            Layout.SINGLE,
            of_volume("1Mi"),
        ),
        (usage(LIMIT, layer=60, logs=41), Layout.SINGLE, OF_POD),
        (usage(LIMIT, layer=60, logs=40), Layout.SINGLE, None),
        (usage(LIMIT, volume=101, volumes=[{"name": "v", "emptyDir": {}}]), Layout.SINGLE, OF_POD),
        (usage(LIMIT, volume=101, volumes=[{"name": "v", "emptyDir": {"medium": "Memory"}}]), Layout.SINGLE, None),
        (usage(LIMIT, LIMIT, layer=60, logs=41), Layout.SINGLE, OF_CONTAINER),
        (usage(LIMIT, LIMIT, layer=101), Layout.DEDICATED_IMAGES, None),
        (usage(LIMIT, LIMIT, logs=101), Layout.DEDICATED_IMAGES, OF_CONTAINER),
        (usage(LIMIT, layer=101, volume=51, volumes=[VOLUME]), Layout.SINGLE, of_volume("50")),
    ],
)
def test_violations(found: PodUsage, layout: Layout, expected: Violation | None) -> None:
    """Volumes first, then the pod as a whole, then containers, whose layers do not count where they are on another disk."""
    assert violation(found, layout) == expected


def test_who_is_measured() -> None:
    """Those that have any limit, of init containers too."""
    assert has_limits(usage(LIMIT).pod) and has_limits(usage(volumes=[VOLUME]).pod)
    init = {"containers": [{"name": "c"}], "initContainers": [{"name": "i", **LIMIT}]}
    assert has_limits(agent_pod({"metadata": {"name": "p"}, "spec": init}))
    assert not has_limits(usage(volumes=[{"name": "v", "emptyDir": {}}]).pod)


def test_how_often() -> None:
    """The more it takes, the less often; within bounds."""
    assert [pause_seconds(took) for took in (0.0, 0.04, 0.1, 9.0)] == [2.0, 2.0, 5.0, 10.0]
