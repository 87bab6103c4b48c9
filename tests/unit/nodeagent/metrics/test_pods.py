"""How many pods there are."""

from collections.abc import Sequence

from agent_pods import agent_pod
from prometheus_client import CollectorRegistry

from nodeagent.metrics.pods import PodsOnNode
from nodeagent.pods.manager import PodOnNode
from nodeagent.pods.rules.model import PodStage


def pod(name: str, stage: PodStage, phase: str = "Running", conditions: Sequence[object] = ()) -> PodOnNode:
    document = {"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": {"containers": []}}
    made = agent_pod({**document, "status": {"phase": phase, "conditions": list(conditions)}})
    return PodOnNode(pod=made, status=made.status, stage=stage)


def test_by_what_their_workers_are_at() -> None:
    """All are desired; those that have ended, or are being ended, use nothing of the node that others may have."""
    pods = [pod("a", PodStage.SYNC), pod("b", PodStage.SYNC, "Succeeded"), pod("c", PodStage.TERMINATING)]
    registry = CollectorRegistry()
    registry.register(PodsOnNode(lambda: pods, 2))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"kubelet_{name}", labels)

    assert (value("desired_pods", static=""), value("desired_pods", static="true")) == (3, 0)
    assert (value("active_pods", static=""), value("active_pods", static="true")) == (1, 0)
    working = {
        stage: value("working_pods", config="desired", lifecycle=stage, static="")
        for stage in ("sync", "terminating", "terminated")
    }
    assert working == {"sync": 2, "terminating": 1, "terminated": 0}
    assert value("cgroup_version") == 2


def test_resizes() -> None:
    """As the conditions of the pods say."""
    waiting = pod("a", PodStage.SYNC, conditions=[{"type": "PodResizePending", "status": "True", "reason": "Deferred"}])
    under_way = pod("b", PodStage.SYNC, conditions=[{"type": "PodResizeInProgress", "status": "True"}])
    registry = CollectorRegistry()
    registry.register(PodsOnNode(lambda: [waiting, under_way], 2))
    value = registry.get_sample_value
    reasons = ("deferred", "infeasible")
    assert [value("kubelet_pod_pending_resizes", {"reason": reason}) for reason in reasons] == [1, 0]
    assert value("kubelet_pod_in_progress_resizes") == 1


def test_ephemeral_containers() -> None:
    """Of pods that still run."""
    spec = {"containers": [], "ephemeralContainers": [{"name": "a"}, {"name": "b"}]}
    debugged = agent_pod({"metadata": {"name": "d", "namespace": "default", "uid": "d"}, "spec": spec})
    pods = [
        PodOnNode(pod=debugged, status=debugged.status, stage=stage) for stage in (PodStage.SYNC, PodStage.TERMINATING)
    ]
    registry = CollectorRegistry()
    registry.register(PodsOnNode(lambda: pods, 2))
    assert registry.get_sample_value("kubelet_managed_ephemeral_containers") == 2
