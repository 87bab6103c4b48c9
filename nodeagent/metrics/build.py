"""What program this is, and which of its feature gates are open. Source: docs/facts/node-resources.md 7.4."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from nodeagent.version import KUBERNETES_VERSION

_BUILD = (
    *("major", "minor", "git_version", "git_commit", "git_tree_state"),
    *("build_date", "go_version", "compiler", "platform"),
)


class BuildInfo(Collector):
    """`gates`: (name, stage, whether it is open) of those that this agent knows. `architecture`: as Go calls it."""

    def __init__(self, gates: Iterable[tuple[str, str, bool]], architecture: str) -> None:
        self._gates = tuple(gates)
        self._architecture = architecture

    @override
    def collect(self) -> Iterator[Metric]:
        major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".", 2)
        build = GaugeMetricFamily(
            "kubernetes_build_info",
            "The version of Kubernetes whose kubelet this agent stands for; nothing of it was built with Go.",
            labels=_BUILD,
        )
        build.add_metric((major, minor, KUBERNETES_VERSION, "", "", "", "", "", f"linux/{self._architecture}"), 1)
        yield build
        family = GaugeMetricFamily(
            "kubernetes_feature_enabled",
            "Whether a feature gate is open (1) or not (0).",
            labels=("name", "stage"),
        )
        for name, stage, is_open in self._gates:
            family.add_metric((name, stage), int(is_open))
        yield family
