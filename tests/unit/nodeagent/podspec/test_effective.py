"""What pods ask for in all: docs/facts/node-resources.md 3.2."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import Pod, PodSpec
from pod_builders import pod_spec, resources, sidecar

from nodeagent.podspec.effective import as_quantities, effective_limits, effective_requests, requests_of


@pytest.mark.parametrize(
    ("spec", "requests", "limits"),
    [
        (pod_spec(resources({"cpu": "1"}, {"cpu": "2"}), resources({"cpu": "500m"})), {"cpu": "1500m"}, {"cpu": "2"}),
        # the largest init container, where larger
        (
            pod_spec(resources({"cpu": "1"}), init=[resources({"cpu": "3", "memory": "1Gi"})]),
            {"cpu": "3", "memory": "1Gi"},
            {},
        ),
        # sidecars count with regular containers, and with init containers declared after them
        (
            pod_spec(
                resources({"cpu": "1"}), init=[sidecar({"cpu": "1"}), resources({"cpu": "2"}), sidecar({"cpu": "1"})]
            ),
            {"cpu": "3"},
            {},
        ),
        (
            pod_spec(resources({"cpu": "1"}), init=[resources({"cpu": "3"}), sidecar({"cpu": "1"})]),
            {"cpu": "3"},
            {},
        ),
        (
            pod_spec(resources({"cpu": "1"}), init=[sidecar({"cpu": "1"}), resources({"cpu": "4"})]),
            {"cpu": "5"},
            {},
        ),
        # pod-level values replace cpu, memory, hugepages, nothing else
        (
            pod_spec(
                resources({"cpu": "1", "ephemeral-storage": "1Gi"}, {"memory": "1Gi"}),
                **resources({"cpu": "200m", "hugepages-2Mi": "4Mi", "ephemeral-storage": "9Gi"}, {"memory": "3Gi"}),
            ),
            {"cpu": "200m", "ephemeral-storage": "1Gi", "hugepages-2Mi": "4Mi"},
            {"memory": "3Gi"},
        ),
        # overhead: requests always, limits only where non-zero
        (
            pod_spec(resources({"cpu": "1"}, {"memory": "1Gi"}), overhead={"cpu": "250m", "memory": "1Gi"}),
            {"cpu": "1250m", "memory": "1Gi"},
            {"memory": "2Gi"},
        ),
        (pod_spec({}), {}, {}),
    ],
)
def test_effective_requests_and_limits(spec: PodSpec, requests: Any, limits: Any) -> None:
    """3.2, each rule."""
    assert as_quantities(effective_requests(spec)) == requests
    assert as_quantities(effective_limits(spec)) == limits


def test_amounts_are_exact() -> None:
    """Fractions of a unit are not lost in sums."""
    assert effective_requests(pod_spec(*([resources({"cpu": "100u"})] * 3))) == {"cpu": Fraction(3, 10_000)}


def test_what_a_pod_asks_for_is_added_up_once() -> None:
    """Also where it asks for nothing; another spec, as after a resize, is added up anew. Pods are compared without it."""
    spec = pod_spec(resources({"cpu": "250m"}))
    pod, same, other = (agent_pod(Pod(spec=each)) for each in (spec, spec, pod_spec(resources())))
    assert requests_of(pod) == {"cpu": Fraction(1, 4)}
    assert requests_of(pod) is requests_of(pod)
    assert pod == same
    assert requests_of(replace(pod, spec=other.spec)) == {}
    assert requests_of(other) is requests_of(other)
