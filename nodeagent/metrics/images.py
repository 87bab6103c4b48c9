"""What image garbage collection has removed."""

from prometheus_client import CollectorRegistry, Counter


class ImageMetrics:
    """`reason`s are `images.gc`'s: age, space."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._removed = Counter(
            "kubelet_image_garbage_collected",
            "Total number of images garbage collected by the kubelet, whether through disk usage or image age.",
            ("reason",),
            registry=registry,
        )

    def removed(self, reason: str) -> None:
        self._removed.labels(reason).inc()
