"""Prometheus metrics of the node, its pods and their containers, made again for each scrape."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from nodeagent.stats.node import NodeStats
from nodeagent.stats.pod_files import PodFiles
from nodeagent.stats.pods import ContainerStats, PodsSnapshot, PodStats
from nodeagent.stats.volumes import PodVolumeStats
from nodeagent.volumes.contract import VolumeUsage

_NANO = 1_000_000_000
_CONTAINER = ("container", "pod", "namespace")
_POD = ("pod", "namespace")


def resource_metrics(node: NodeStats, snapshot: PodsSnapshot) -> list[Metric]:
    """/metrics/resource: what metrics-server reads. Samples carry their own times."""
    seconds = node.time_ns / _NANO
    cpu = CounterMetricFamily("node_cpu_usage_seconds", "Cumulative cpu time consumed by the node in core-seconds")
    cpu.add_metric((), node.cpu_core_nano_seconds / _NANO, timestamp=seconds)
    memory = GaugeMetricFamily("node_memory_working_set_bytes", "Current working set of the node in bytes")
    memory.add_metric((), node.memory_working_set_bytes, timestamp=seconds)
    swap = GaugeMetricFamily("node_swap_usage_bytes", "Current swap usage of the node in bytes")
    swap.add_metric((), node.swap_usage_bytes, timestamp=seconds)
    error = GaugeMetricFamily(
        "resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise"
    )
    error.add_metric((), 0 if snapshot.complete else 1)
    return [cpu, memory, swap, *_of_containers(snapshot.pods), *_of_pods(snapshot.pods), error]


def _of_containers(pods: Iterable[PodStats]) -> list[Metric]:
    cpu = CounterMetricFamily(
        "container_cpu_usage_seconds",
        "Cumulative cpu time consumed by the container in core-seconds",
        labels=_CONTAINER,
    )
    memory = GaugeMetricFamily(
        "container_memory_working_set_bytes", "Current working set of the container in bytes", labels=_CONTAINER
    )
    swap = GaugeMetricFamily(
        "container_swap_usage_bytes", "Current amount of the container swap usage in bytes", labels=_CONTAINER
    )
    swap_limit = GaugeMetricFamily(
        "container_swap_limit_bytes", "Current amount of the container swap limit in bytes", labels=_CONTAINER
    )
    started = GaugeMetricFamily(
        "container_start_time_seconds", "Start time of the container since unix epoch in seconds", labels=_CONTAINER
    )
    for pod, container in _containers(pods):
        labels = (container.name, pod.name, pod.namespace)
        stats = container.stats
        if stats.cpu.HasField("usage_core_nano_seconds"):
            usage = stats.cpu.usage_core_nano_seconds.value / _NANO
            cpu.add_metric(labels, usage, timestamp=stats.cpu.timestamp / _NANO)
        if stats.memory.HasField("working_set_bytes"):
            used = stats.memory.working_set_bytes.value
            memory.add_metric(labels, used, timestamp=stats.memory.timestamp / _NANO)
        if stats.swap.HasField("swap_usage_bytes"):
            swapped = stats.swap.swap_usage_bytes.value
            swap.add_metric(labels, swapped, timestamp=stats.swap.timestamp / _NANO)
            if stats.swap.HasField("swap_available_bytes"):
                limit = swapped + stats.swap.swap_available_bytes.value
                swap_limit.add_metric(labels, limit, timestamp=stats.swap.timestamp / _NANO)
        started.add_metric(labels, container.created_ns / _NANO)
    return [cpu, memory, swap, swap_limit, started]


def _of_pods(pods: Iterable[PodStats]) -> list[Metric]:
    cpu = CounterMetricFamily(
        "pod_cpu_usage_seconds", "Cumulative cpu time consumed by the pod in core-seconds", labels=_POD
    )
    memory = GaugeMetricFamily("pod_memory_working_set_bytes", "Current working set of the pod in bytes", labels=_POD)
    swap = GaugeMetricFamily("pod_swap_usage_bytes", "Current amount of the pod swap usage in bytes", labels=_POD)
    for pod in pods:
        linux = pod.stats.linux
        labels = (pod.name, pod.namespace)
        if linux.cpu.HasField("usage_core_nano_seconds"):
            usage = linux.cpu.usage_core_nano_seconds.value / _NANO
            cpu.add_metric(labels, usage, timestamp=linux.cpu.timestamp / _NANO)
        if linux.memory.HasField("working_set_bytes"):
            used = linux.memory.working_set_bytes.value
            memory.add_metric(labels, used, timestamp=linux.memory.timestamp / _NANO)
        # the CRI has no swap of pods
        if swaps := [item.stats.swap for item in pod.containers if item.stats.swap.HasField("swap_usage_bytes")]:
            swapped = sum(item.swap_usage_bytes.value for item in swaps)
            swap.add_metric(labels, swapped, timestamp=max(item.timestamp for item in swaps) / _NANO)
    return [cpu, memory, swap]


def agent_metrics(name: str, pods: int, containers: int) -> list[Metric]:
    """/metrics, beside the process's own: how much runs here."""
    node = GaugeMetricFamily("kubelet_node_name", "The node's name. The count is always 1.", labels=("node",))
    node.add_metric((name,), 1)
    running_pods = GaugeMetricFamily("kubelet_running_pods", "Number of pods that have a running pod sandbox")
    running_pods.add_metric((), pods)
    running = GaugeMetricFamily(
        "kubelet_running_containers", "Number of containers currently running", labels=("container_state",)
    )
    running.add_metric(("running",), containers)
    return [node, running_pods, running]


# name -> what it is of a volume; labelled by the claim, since other volumes are nobody's to watch
_VOLUME_STATS: Mapping[str, tuple[str, Callable[[VolumeUsage], int | None]]] = {
    "capacity_bytes": ("Capacity in bytes of the volume", lambda usage: usage.capacity_bytes),
    "available_bytes": ("Number of available bytes in the volume", lambda usage: usage.available_bytes),
    "used_bytes": ("Number of used bytes in the volume", lambda usage: usage.used_bytes),
    "inodes": ("Maximum number of inodes in the volume", lambda usage: usage.inodes),
    "inodes_free": ("Number of free inodes in the volume", lambda usage: usage.inodes_free),
    "inodes_used": ("Number of used inodes in the volume", lambda usage: usage.inodes_used),
    "health_status_abnormal": (
        "1: something is wrong with the volume, 0: nothing is known to be",
        lambda usage: usage.abnormal,
    ),
}


def volume_metrics(pods: Iterable[PodStats], volumes: Mapping[str, PodVolumeStats]) -> list[Metric]:
    """/metrics: what is used of the volumes that claims lead to. One that several pods share is told once."""
    claims = {
        (pod.namespace, usage.claim): usage
        for pod in pods
        for usage in (volumes[pod.uid].volumes if pod.uid in volumes else {}).values()
        if usage.claim
    }
    found: list[Metric] = []
    for name, (text, figure) in _VOLUME_STATS.items():
        metric = GaugeMetricFamily(f"kubelet_volume_stats_{name}", text, labels=("namespace", "persistentvolumeclaim"))
        for labels, usage in claims.items():
            if (value := figure(usage)) is not None:
                metric.add_metric(labels, value)
        found.append(metric)
    return found


def log_metrics(pods: Iterable[PodStats], files: Mapping[str, PodFiles]) -> list[Metric]:
    """/metrics: what the logs of containers take of the disk, rotated ones too."""
    used = GaugeMetricFamily(
        "kubelet_container_log_filesystem_used_bytes",
        "Bytes used by the container's logs on the filesystem.",
        labels=("uid", "namespace", "pod", "container"),
    )
    for pod in pods:
        for container, usage in sorted(files[pod.uid].logs.items()) if pod.uid in files else ():
            used.add_metric((pod.uid, pod.namespace, pod.name, container), usage.used_bytes)
    return [used]


def _containers(pods: Iterable[PodStats]) -> Iterator[tuple[PodStats, ContainerStats]]:
    for pod in pods:
        for container in pod.containers:
            yield pod, container
