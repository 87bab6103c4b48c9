"""Which pods end together, in which order, in which time."""

from typing import Any

import msgspec
import pytest
from agent_pods import agent_pod

from nodeagent.config.kubelet import KubeletConfiguration
from nodeagent.podspec.pod import AgentPod
from nodeagent.shutdown.groups import Group, divided, grace_seconds, groups_of


def pod(name: str, priority: int | None = None, grace: int | None = None) -> AgentPod:
    spec: dict[str, Any] = {"containers": [{"name": "c"}]}
    spec |= {"priority": priority} if priority is not None else {}
    spec |= {"terminationGracePeriodSeconds": grace} if grace is not None else {}
    return agent_pod({"metadata": {"name": name, "uid": name}, "spec": spec})


def groups(**fields: Any) -> list[tuple[int, int]]:
    kubelet = msgspec.convert(fields, KubeletConfiguration)
    found = groups_of(
        kubelet.shutdownGracePeriod, kubelet.shutdownGracePeriodCriticalPods, kubelet.shutdownGracePeriodByPodPriority
    )
    return [(group.priority, group.seconds) for group in found]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"shutdownGracePeriod": "0s", "shutdownGracePeriodCriticalPods": "0s"}, []),
        (
            {"shutdownGracePeriod": "30s", "shutdownGracePeriodCriticalPods": "10s"},
            [(0, 20), (2_000_000_000, 10)],
        ),
        ({"shutdownGracePeriod": "1m"}, [(0, 60), (2_000_000_000, 0)]),
        (
            {
                "shutdownGracePeriodByPodPriority": [
                    {"priority": 100, "shutdownGracePeriodSeconds": 7},
                    {"priority": -5, "shutdownGracePeriodSeconds": 3},
                ]
            },
            [(-5, 3), (100, 7)],
        ),
    ],
    ids=["default", "off", "two durations", "none for the critical", "by priority"],
)
def test_groups(fields: dict[str, Any], expected: list[tuple[int, int]]) -> None:
    """Two durations are two groups, what is left of the total and the critical; a list is its own groups, lowest first."""
    assert groups(**fields) == expected


def test_whose_group_a_pod_is() -> None:
    """The highest listed priority that is not above its own; below all of them: the lowest. Empty groups do not come up."""
    listed = tuple(Group(priority=priority, seconds=1) for priority in (10, 100, 1000, 2000))
    pods = [pod("none"), pod("ten", 10), pod("high", 999), pod("negative", -7), pod("critical", 2_000_000_000)]
    found = [(group.priority, [each.name for each in members]) for group, members in divided(pods, listed)]
    assert found == [(10, ["none", "ten", "negative"]), (100, ["high"]), (2000, ["critical"])]


@pytest.mark.parametrize(("own", "expected"), [(None, 20), (5, 5), (0, 0), (30, 20)])
def test_grace(own: int | None, expected: int) -> None:
    """The shorter of the pod's own and the group's."""
    assert grace_seconds(pod("p", grace=own), Group(priority=0, seconds=20)) == expected
