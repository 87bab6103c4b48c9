"""Stored pods as the rules about resources see them."""

from fractions import Fraction
from typing import Any

import pytest

from nodeagent.apiserver.kinds.pods.typed_spec import resources_spec
from nodeagent.podspec.effective import effective_limits, effective_requests
from nodeagent.podspec.qos import qos_class


def c(cpu: str, *, sidecar: bool = False, limit: str = "") -> Any:
    container: Any = {"resources": {"requests": {"cpu": cpu}, "limits": {"cpu": limit} if limit else {}}}
    return {**container, "restartPolicy": "Always"} if sidecar else container


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [c("1"), c("2")]}, 3),
        ({"containers": [c("1")], "initContainers": [c("2"), c("3")]}, 3),
        ({"containers": [c("3")], "initContainers": [c("1", sidecar=True)]}, 4),
        ({"containers": [c("1")], "initContainers": [c("1", sidecar=True), c("4")]}, 5),
        ({"containers": [c("1")], "initContainers": [c("4"), c("1", sidecar=True)]}, 4),
        ({"containers": [c("1")], "initContainers": [c("2", sidecar=True), c("3", sidecar=True), c("1")]}, 6),
        ({"containers": [c("1")], "resources": {"requests": {"cpu": "5"}}}, 5),
        ({"containers": [c("1")], "overhead": {"cpu": "250m"}}, Fraction(5, 4)),
        ({"containers": [c("1")], "resources": {"requests": {"cpu": "5"}}, "overhead": {"cpu": "1"}}, 6),
    ],
)
def test_requests(spec: Any, cpu: Any) -> None:
    """Sums of what runs together, the peak of the initialisation, pod-level values, and overhead on top."""
    assert effective_requests(resources_spec(spec)) == {"cpu": Fraction(cpu)}


def test_limits_take_overhead_only_where_there_is_one() -> None:
    """A resource without a limit does not get one from the overhead."""
    spec = {"containers": [c("1", limit="2")], "overhead": {"cpu": "1", "memory": "1Gi"}}
    assert effective_limits(resources_spec(spec)) == {"cpu": Fraction(3)}
    assert effective_requests(resources_spec(spec)) == {"cpu": Fraction(2), "memory": Fraction(2**30)}


def test_pod_level_ephemeral_storage_is_not_replaced() -> None:
    """Only CPU, memory and huge pages exist at pod level."""
    spec = {
        "containers": [{"resources": {"requests": {"ephemeral-storage": "1Gi"}}}],
        "resources": {"requests": {"cpu": "1", "ephemeral-storage": "5Gi"}},
    }
    assert effective_requests(resources_spec(spec)) == {"ephemeral-storage": Fraction(2**30), "cpu": Fraction(1)}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [{}]}, "BestEffort"),
        ({"containers": [{"resources": {"limits": {"ephemeral-storage": "1Gi"}}}]}, "BestEffort"),
        ({"containers": [{"resources": {"requests": {"cpu": "0"}}}]}, "BestEffort"),
        ({"containers": [{"resources": {"requests": {"cpu": "1"}}}]}, "Burstable"),
        (
            {
                "containers": [
                    {"resources": {"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1", "memory": "1"}}}
                ]
            },
            "Guaranteed",
        ),
        (
            {
                "containers": [
                    {"resources": {"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "500m", "memory": "1"}}}
                ]
            },
            "Burstable",
        ),
        (
            {
                "containers": [
                    {"resources": {"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1", "memory": "1"}}}
                ],
                "initContainers": [{}],
            },
            "Burstable",
        ),
        (
            {
                "resources": {"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1", "memory": "1"}},
                "containers": [{"resources": {"requests": {"cpu": "1m"}}}],
            },
            "Guaranteed",
        ),
        (
            {
                "resources": {"limits": {"hugepages-2Mi": "2Mi"}},
                "containers": [{"resources": {"requests": {"cpu": "1"}}}],
            },
            "BestEffort",
        ),
    ],
)
def test_qos_class(spec: Any, expected: str) -> None:
    """The class follows from CPU and memory of all app and init containers, or of the pod-level resources alone."""
    assert qos_class(resources_spec(spec)) == expected


def test_what_does_not_matter_to_a_rule_does_not_break_it() -> None:
    """Objects come before they were validated: a pod without containers, a selector without terms, broken volumes."""
    spec = {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}},
        "initContainers": [{"env": [{"valueFrom": {"fieldRef": {}}}], "resources": {"limits": {"cpu": "1"}}}],
        "volumes": [{"cephfs": {}}],
    }
    assert (qos_class(resources_spec(spec)), effective_limits(resources_spec(spec))) == ("Burstable", {"cpu": 1})
