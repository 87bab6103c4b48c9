"""Pods seen through what they have been allocated."""

from typing import Any

import pytest
from lightkube.models.core_v1 import ResourceRequirements

from nodeagent.pods.resize.allocation import (
    PodResources,
    charged_pod,
    increases,
    pod_level,
    resources_of,
    same,
    with_resources,
)
from nodeagent.podspec.effective import aggregated, as_quantities


def test_a_pod_is_shown_with_what_it_has(kit: Any) -> None:
    """CPU and memory are the allocated ones, everything else is the spec's; where nothing differs it is the same object."""
    old = kit.pod(c="100m/200m 32Mi/64Mi", d="50m/- -/-", init={"i": "10m/- -/-"})
    new = kit.pod(generation=2, c="300m/400m 32Mi/128Mi", d="50m/- -/-", init={"i": "20m/- -/-"})
    new.spec.containers[0].resources.limits["ephemeral-storage"] = "1Gi"
    seen = with_resources(new, resources_of(old))
    assert seen.metadata.generation == 2
    assert seen.spec.containers[0].resources == ResourceRequirements(
        requests={"cpu": "100m", "memory": "32Mi"},
        limits={"ephemeral-storage": "1Gi", "cpu": "200m", "memory": "64Mi"},
    )
    assert seen.spec.containers[1] is new.spec.containers[1]
    assert seen.spec.initContainers[0].resources.requests == {"cpu": "10m"}
    assert new.spec.containers[0].resources.requests == {"cpu": "300m", "memory": "32Mi"}
    assert with_resources(new, resources_of(new)) is new


def test_pod_level_resources_are_allocated_too(kit: Any) -> None:
    """What the pod as a whole asks for waits for the node's consent as well."""
    old, new = kit.pod(level="1/2 1Gi/2Gi", c=""), kit.pod(level="2/3 1Gi/2Gi", c="")
    assert not same(resources_of(old), resources_of(new))
    assert with_resources(new, resources_of(old)).spec.resources.limits == {"cpu": "2", "memory": "2Gi"}


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("1/1 1Gi/1Gi", "1000m/1 1024Mi/1Gi", True),
        ("1/1 1Gi/1Gi", "1/2 1Gi/1Gi", False),
        ("1/- -/-", "1/1 -/-", False),
        ("-/- -/-", "-/- -/-", True),
        ("0/- -/-", "-/- -/-", False),
    ],
)
def test_quantities_are_compared_by_value(kit: Any, one: str, other: str, alike: bool) -> None:
    """Another spelling is no resize; another value, or one that was not there, is."""
    assert same(resources_of(kit.pod(c=one)), resources_of(kit.pod(c=other))) is alike


def test_what_is_in_force_still_counts_for_others(kit: Any) -> None:
    """A pod that shrinks is charged its old requests until they are gone, and one that grows its new ones."""
    pod = kit.pod(c="100m/200m 64Mi/64Mi")
    before = ResourceRequirements(requests={"cpu": "500m", "memory": "32Mi"}, limits={"cpu": "1"})
    seen = charged_pod(pod, {"c": before})
    assert as_quantities(aggregated(seen.spec, "requests")) == {"cpu": "500m", "memory": "64Mi"}
    assert seen.spec.containers[0].resources.limits == {"cpu": "200m", "memory": "64Mi"}
    assert charged_pod(pod, {}) is pod


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        ("100m/- 32Mi/-", "100m/- 64Mi/-", True),
        ("100m/- 64Mi/-", "100m/- 32Mi/-", False),
        ("100m/200m -/-", "100m/900m -/-", False),
        ("100m/- 64Mi/-", "200m/- 32Mi/-", True),
    ],
)
def test_only_requests_can_make_a_resize_wait(kit: Any, before: str, after: str, more: bool) -> None:
    """Limits take nothing of the node's allocatable resources."""
    assert increases(kit.pod(c=before), kit.pod(c=after)) is more


def test_sums_of_a_pod(kit: Any) -> None:
    """The pod's cgroup has the larger of what its init containers and its containers take."""
    pod = kit.pod(c="100m/200m 32Mi/64Mi", d="100m/200m 32Mi/64Mi", init={"i": "1/1 8Mi/8Mi"})
    assert pod_level(pod) == ResourceRequirements(
        requests={"cpu": "1", "memory": "64Mi"}, limits={"cpu": "1", "memory": "128Mi"}
    )
    assert PodResources(containers={}) == PodResources(containers={}, pod=None)
