"""Effective requests and limits of pods."""

from fractions import Fraction
from typing import Any

import pytest

from nodeagent.apiserver.kinds.pods.requests import effective


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
    assert effective(spec, "requests") == {"cpu": Fraction(cpu)}


def test_limits_take_overhead_only_where_there_is_one() -> None:
    """A resource without a limit does not get one from the overhead."""
    spec = {"containers": [c("1", limit="2")], "overhead": {"cpu": "1", "memory": "1Gi"}}
    assert effective(spec, "limits") == {"cpu": Fraction(3)}
    assert effective(spec, "requests") == {"cpu": Fraction(2), "memory": Fraction(2**30)}


def test_pod_level_ephemeral_storage_is_not_replaced() -> None:
    """Only CPU, memory and huge pages exist at pod level."""
    spec = {
        "containers": [{"resources": {"requests": {"ephemeral-storage": "1Gi"}}}],
        "resources": {"requests": {"cpu": "1", "ephemeral-storage": "5Gi"}},
    }
    assert effective(spec, "requests") == {"ephemeral-storage": Fraction(2**30), "cpu": Fraction(1)}
