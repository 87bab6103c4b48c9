"""How many pods the node has, by what their workers are at. Source: docs/facts/node-resources.md 7.4."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from nodeagent.pods.manager import PodOnNode
from nodeagent.pods.rules.model import PodStage

_LIFECYCLES = (PodStage.SYNC, PodStage.TERMINATING, PodStage.TERMINATED)
_OVER = frozenset({"Failed", "Succeeded"})


class PodsOnNode(Collector):
    """`pods()`: all of them, as of now. `cgroup_version`: of the host."""

    def __init__(self, pods: Callable[[], Iterable[PodOnNode]], cgroup_version: int) -> None:
        self._pods = pods
        self._cgroup_version = cgroup_version

    @override
    def collect(self) -> Iterator[Metric]:
        pods = tuple(self._pods())
        active = [each for each in pods if each.stage is PodStage.SYNC and not _is_over(each)]
        for name, text, counted in (
            ("desired_pods", "The number of pods the kubelet is being instructed to run.", pods),
            (
                "active_pods",
                "The number of pods the kubelet considers active, that may use the node's resources.",
                active,
            ),
        ):
            family = GaugeMetricFamily(f"kubelet_{name}", text, labels=("static",))
            counts = Counter(_static(each) for each in counted)
            for static in ("", "true"):
                family.add_metric((static,), counts[static])
            yield family
        working = GaugeMetricFamily(
            "kubelet_working_pods",
            "Number of pods with a worker, by lifecycle.",
            labels=("config", "lifecycle", "static"),
        )
        stages = Counter((each.stage, _static(each)) for each in pods)
        for stage in _LIFECYCLES:
            for static in ("", "true"):
                working.add_metric(("desired", stage.value, static), stages[(stage, static)])
        yield working
        yield from _resizes(pods)
        ephemeral = GaugeMetricFamily(
            "kubelet_managed_ephemeral_containers",
            "Current number of ephemeral containers in pods managed by this kubelet.",
        )
        ephemeral.add_metric((), sum(len(each.pod.spec.ephemeralContainers or ()) for each in active))
        yield ephemeral
        version = GaugeMetricFamily("kubelet_cgroup_version", "cgroup version on the hosts.")
        version.add_metric((), self._cgroup_version)
        yield version


def _resizes(pods: Iterable[PodOnNode]) -> Iterator[Metric]:
    """As the pods' conditions say."""
    conditions = [each for pod in pods if pod.status is not None for each in pod.status.conditions or ()]
    waiting = Counter((each.reason or "").lower() for each in conditions if each.type == "PodResizePending")
    pending = GaugeMetricFamily(
        "kubelet_pod_pending_resizes", "Number of pending resizes for pods.", labels=("reason",)
    )
    for reason in ("deferred", "infeasible"):
        pending.add_metric((reason,), waiting[reason])
    yield pending
    actuated = GaugeMetricFamily("kubelet_pod_in_progress_resizes", "Number of in-progress resizes for pods.")
    actuated.add_metric((), sum(each.type == "PodResizeInProgress" for each in conditions))
    yield actuated


def _static(each: PodOnNode) -> str:
    return "true" if each.pod.is_static else ""


def _is_over(each: PodOnNode) -> bool:
    return each.status is not None and each.status.phase in _OVER
