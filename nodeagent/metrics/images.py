"""Images that are asked for, pulled, and removed again. Source: docs/facts/node-resources.md 7.4."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_PULL_SECONDS = (1, 5, 10, 20, 30, 60, 180, 300, 600, 900, 1200, 1800, 2700, 3600)
_MB, _GB = 1 << 20, 1 << 30
# up to (exclusive) -> what a size is called
_SIZES = (
    (10 * _MB, "0-10MB"),
    (100 * _MB, "10MB-100MB"),
    (500 * _MB, "100MB-500MB"),
    (1 * _GB, "500MB-1GB"),
    (5 * _GB, "1GB-5GB"),
    (10 * _GB, "5GB-10GB"),
    (20 * _GB, "10GB-20GB"),
    (30 * _GB, "20GB-30GB"),
    (40 * _GB, "30GB-40GB"),
    (60 * _GB, "40GB-60GB"),
    (100 * _GB, "60GB-100GB"),
)


class ImageMetrics:
    """`reason`s are `images.gc`'s: age, space. An `images.manager.ImageObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._removed = Counter(
            "kubelet_image_garbage_collected",
            "Total number of images garbage collected by the kubelet, whether through disk usage or image age.",
            ("reason",),
            registry=registry,
        )

        self._pull_seconds = Histogram(
            "kubelet_image_pull_duration_seconds",
            "Duration in seconds to pull an image.",
            ("image_size_in_bytes",),
            buckets=_PULL_SECONDS,
            registry=registry,
        )
        self._ensured = Counter(
            "kubelet_image_manager_ensure_image_requests",
            "Number of ensure-image requests processed by the kubelet.",
            ("pull_policy", "present_locally", "pull_required"),
            registry=registry,
        )

    def pulled(self, seconds: float, size_bytes: int) -> None:
        """`size_bytes` 0: the runtime does not say."""
        self._pull_seconds.labels(size_name(size_bytes)).observe(seconds)

    def ensured(self, policy: str, *, present: bool | None, pull: bool) -> None:
        """`present` None: nobody looked, for it is pulled all the same."""
        there = "unknown" if present is None else str(present).lower()
        self._ensured.labels(policy.lower(), there, str(pull).lower()).inc()

    def removed(self, reason: str) -> None:
        self._removed.labels(reason).inc()


def size_name(size_bytes: int) -> str:
    """The range that a size is in, as dashboards know it."""
    if size_bytes <= 0:
        return "N/A"
    return next((name for limit, name in _SIZES if size_bytes < limit), "GT100GB")
