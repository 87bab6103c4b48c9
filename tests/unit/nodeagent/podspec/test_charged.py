"""What a node is charged for a pod while a resize is under way: docs/facts/node-resources.md 3.2."""

from typing import Any

import pytest
from pod_builders import pod_spec, resources

from nodeagent.podspec.charged import charged


@pytest.mark.parametrize(
    ("held", "infeasible", "requests"),
    [
        # of what is wanted (2 cores, 1Gi), allocated and in force the most of each
        ([{"cpu": "1", "memory": "2Gi"}, {"cpu": "500m", "memory": "1Gi"}], False, {"cpu": "2", "memory": "2Gi"}),
        ([{"cpu": "1", "memory": "1Gi"}, {"cpu": "3", "memory": "1Gi"}], False, {"cpu": "3", "memory": "1Gi"}),
        # what can never be granted is not counted
        ([{"cpu": "1", "memory": "512Mi"}, {}], True, {"cpu": "1", "memory": "512Mi"}),
        # the node says nothing of the container yet
        ([{}, {}], True, {"cpu": "2", "memory": "1Gi"}),
        ([], False, {"cpu": "2", "memory": "1Gi"}),
    ],
)
def test_the_most_of_each(held: Any, infeasible: bool, requests: dict[str, str]) -> None:
    """Requests of the container that is resized; its limits stay, and so do the others."""
    spec = pod_spec(resources({"cpu": "2", "memory": "1Gi"}, {"cpu": "4"}), resources({"cpu": "1"}))
    found = charged(spec, {"c0": held}, infeasible=infeasible)
    assert found.containers[0].resources.requests == requests
    assert found.containers[0].resources.limits == {"cpu": "4"}
    assert found.containers[1] is spec.containers[1]


def test_sidecars_are_charged_alike() -> None:
    """Init containers may be resized as well."""
    spec = pod_spec({}, init=[{**resources({"cpu": "1"}), "restartPolicy": "Always"}])
    assert charged(spec, {"i0": [{"cpu": "2"}]}).initContainers[0].resources.requests == {"cpu": "2"}


def test_a_settled_pod_is_itself() -> None:
    """Where nothing differs, be it spelt otherwise, the spec is the same object."""
    spec = pod_spec(resources({"cpu": "2", "memory": "1Gi"}))
    assert charged(spec, {"c0": [{"cpu": "2000m", "memory": "1024Mi"}]}) is spec
    assert charged(spec, {}) is spec
