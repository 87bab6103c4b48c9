"""Which pods the node has taken, which not and why, and which had to go for another. Source: docs/facts/node-resources.md 7.4."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from nodeagent.pods.rules.model import StartFailure
from nodeagent.podspec.pod import AgentPod


class AdmissionMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._rejected = Counter(
            "kubelet_admission_rejections",
            "Cumulative number pod admission rejections by the Kubelet.",
            ("reason",),
            registry=registry,
        )
        self._preempted = Counter(
            "kubelet_preemptions",
            "Cumulative number of pod preemptions by preemption resource",
            ("preemption_signal",),
            registry=registry,
        )
        self._containers = Histogram(
            "kubelet_containers_per_pod_count",
            "The number of containers per pod.",
            buckets=(1, 2, 4, 8, 16),
            registry=registry,
        )

    def judged(self, pod: AgentPod, rejected: StartFailure | None) -> None:
        """A pod that has come to the node; `rejected` None: it is taken."""
        self._containers.observe(len(pod.spec.containers))
        if rejected is not None:
            self._rejected.labels(rejected.reason).inc()

    def preempted(self, resource: str) -> None:
        self._preempted.labels(resource).inc()
