"""QoS classes and OOM scores: docs/facts/node-resources.md 3.1 and 3.3."""

import pytest
from lightkube.models.core_v1 import PodSpec, PodStatus
from pod_builders import pod_spec, resources, sidecar

from nodeagent.podspec.critical import CRITICAL_PRIORITY
from nodeagent.podspec.qos import oom_score_adj, qos_class

GI = 1 << 30
BOTH = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (pod_spec({}), "BestEffort"),
        (pod_spec(resources({"cpu": "0"}, {"memory": "0"})), "BestEffort"),
        (pod_spec(resources({"ephemeral-storage": "1Gi"})), "BestEffort"),
        (pod_spec(resources(BOTH, BOTH)), "Guaranteed"),
        (pod_spec(resources(BOTH, BOTH), init=[resources(BOTH, BOTH)]), "Guaranteed"),
        (pod_spec(resources(BOTH, BOTH), {}), "Burstable"),
        (pod_spec(resources(BOTH, BOTH), init=[{}]), "Burstable"),
        (pod_spec(resources({"cpu": "1"}, {"cpu": "1"})), "Burstable"),
        (pod_spec(resources({"cpu": "1", "memory": "512Mi"}, BOTH)), "Burstable"),
        (pod_spec(resources({"cpu": "1000m", "memory": "1024Mi"}, BOTH)), "Guaranteed"),
        (pod_spec(resources(None, {"memory": "1Gi"})), "Burstable"),
        # pod-level resources decide alone, even with hugepages only
        (pod_spec({}, **resources(BOTH, BOTH)), "Guaranteed"),
        (pod_spec(resources(BOTH, BOTH), **resources({"cpu": "1"})), "Burstable"),
        (pod_spec(resources(BOTH, BOTH), **resources({"hugepages-2Mi": "2Mi"})), "BestEffort"),
    ],
)
def test_qos_class(spec: PodSpec, expected: str) -> None:
    """3.1, each line."""
    assert qos_class(spec) == expected


def test_the_recorded_qos_class_is_used_as_is() -> None:
    """3.1, first line."""
    assert qos_class(pod_spec({}), PodStatus(qosClass="Guaranteed")) == "Guaranteed"
    assert qos_class(pod_spec({}), PodStatus()) == "BestEffort"


@pytest.mark.parametrize(
    ("spec", "scores"),
    [
        (pod_spec({}), {"c0": 1000}),
        (pod_spec(resources(BOTH, BOTH)), {"c0": -997}),
        (pod_spec(resources({"memory": "1Gi"})), {"c0": 900}),
        (pod_spec(resources({"cpu": "1"})), {"c0": 999}),  # exactly 1000 → 999
        (pod_spec(resources({"memory": "100Gi"})), {"c0": 3}),  # below 3 → 3
        (pod_spec({}, priority=2_000_000_000, priorityClassName="system-node-critical"), {"c0": -997}),
        (pod_spec({}, priority=2_000_000_000, priorityClassName="system-cluster-critical"), {"c0": 1000}),
        # a sidecar is as safe as the smallest regular container at least
        (pod_spec(resources({"memory": "2Gi"}), init=[sidecar({"memory": "1Gi"})]), {"c0": 800, "i0": 800}),
        (pod_spec(resources({"memory": "1Gi"}), init=[sidecar({"memory": "2Gi"})]), {"c0": 900, "i0": 800}),
        (pod_spec(resources({"memory": "2Gi"}), init=[resources({"memory": "1Gi"})]), {"c0": 800, "i0": 900}),
        # pod-level: the rest of the request in equal shares
        (pod_spec(resources({"memory": "1Gi"}), {}, **resources({"memory": "3Gi"})), {"c0": 800, "c1": 900}),
    ],
)
def test_oom_score_adj(spec: PodSpec, scores: dict[str, int]) -> None:
    """3.3, on a node of 10 GiB."""
    listed = [*spec.containers, *(spec.initContainers or [])]
    qos, critical = qos_class(spec), (spec.priority or 0) >= CRITICAL_PRIORITY
    found = {item.name: oom_score_adj(spec, item, 10 * GI, qos=qos, critical=critical) for item in listed}
    assert {name: found[name] for name in scores} == scores
