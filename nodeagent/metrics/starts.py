"""How many pods and containers were started, and how many could not be."""

from prometheus_client import CollectorRegistry, Counter

from nodeagent.podspec.containers import ContainerKind

_TYPES = {
    ContainerKind.REGULAR: "container",
    ContainerKind.INIT: "init_container",
    ContainerKind.SIDECAR: "init_container",
    ContainerKind.EPHEMERAL: "ephemeral_container",
}


class StartMetrics:
    """A `steps.contract.StartObserver`. Each try counts as one start, and as an error when it fails."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._pods = Counter("kubelet_started_pods", "Cumulative number of pods started", registry=registry)
        self._pod_errors = Counter(
            "kubelet_started_pods_errors", "Cumulative number of errors when starting pods", registry=registry
        )
        self._containers = Counter(
            "kubelet_started_containers",
            "Cumulative number of containers started",
            ("container_type",),
            registry=registry,
        )
        self._container_errors = Counter(
            "kubelet_started_containers_errors",
            "Cumulative number of errors when starting containers",
            ("container_type", "code"),
            registry=registry,
        )

    def pod(self) -> None:
        self._pods.inc()

    def pod_failed(self) -> None:
        self._pod_errors.inc()

    def container(self, kind: ContainerKind) -> None:
        self._containers.labels(_TYPES[kind]).inc()

    def container_failed(self, kind: ContainerKind, reason: str) -> None:
        self._container_errors.labels(_TYPES[kind], reason).inc()
