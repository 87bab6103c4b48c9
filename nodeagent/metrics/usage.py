"""Prometheus metrics of the node, its pods and their containers, made again for each scrape."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from nodeagent.stats.node import NodeStats
from nodeagent.stats.pods import ContainerStats, PodsSnapshot, PodStats
from nodeagent.stats.volumes import PodVolumeStats
from nodeagent.volumes.contract import VolumeUsage
from proto import cri_pb2 as cri
from runtimes.serve.metrics import RuntimeMetrics, merged_descriptors, merged_metrics

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
        started.add_metric(labels, container.created_ns / _NANO)
    return [cpu, memory, swap, started]


def _of_pods(pods: Iterable[PodStats]) -> list[Metric]:
    cpu = CounterMetricFamily(
        "pod_cpu_usage_seconds", "Cumulative cpu time consumed by the pod in core-seconds", labels=_POD
    )
    memory = GaugeMetricFamily("pod_memory_working_set_bytes", "Current working set of the pod in bytes", labels=_POD)
    for pod in pods:
        linux = pod.stats.linux
        labels = (pod.name, pod.namespace)
        if linux.cpu.HasField("usage_core_nano_seconds"):
            usage = linux.cpu.usage_core_nano_seconds.value / _NANO
            cpu.add_metric(labels, usage, timestamp=linux.cpu.timestamp / _NANO)
        if linux.memory.HasField("working_set_bytes"):
            used = linux.memory.working_set_bytes.value
            memory.add_metric(labels, used, timestamp=linux.memory.timestamp / _NANO)
    return [cpu, memory]


def container_metrics(pods: Iterable[PodStats]) -> list[Metric]:
    """/metrics/cadvisor: the statistics of the runtimes, under the names that dashboards know."""
    labels = ("container", "id", "image", "name", "namespace", "pod")
    cpu = CounterMetricFamily("container_cpu_usage_seconds", "Cumulative cpu time consumed in seconds.", labels=labels)
    used = GaugeMetricFamily("container_memory_usage_bytes", "Current memory usage in bytes.", labels=labels)
    working = GaugeMetricFamily("container_memory_working_set_bytes", "Current working set in bytes.", labels=labels)
    rss = GaugeMetricFamily("container_memory_rss", "Size of RSS in bytes.", labels=labels)
    files = GaugeMetricFamily("container_fs_usage_bytes", "Bytes that the container wrote to its layer.", labels=labels)
    for pod, container in _containers(pods):
        stats = container.stats
        found = stats.attributes.id
        values = (container.name, found, container.image, found, pod.namespace, pod.name)
        cpu.add_metric(values, stats.cpu.usage_core_nano_seconds.value / _NANO, timestamp=stats.cpu.timestamp / _NANO)
        seconds = stats.memory.timestamp / _NANO
        used.add_metric(values, stats.memory.usage_bytes.value, timestamp=seconds)
        working.add_metric(values, stats.memory.working_set_bytes.value, timestamp=seconds)
        rss.add_metric(values, stats.memory.rss_bytes.value, timestamp=seconds)
        files.add_metric(values, stats.writable_layer.used_bytes.value)
    return [cpu, used, working, rss, files, *_of_networks(pods)]


def _of_networks(pods: Iterable[PodStats]) -> list[Metric]:
    labels = ("interface", "namespace", "pod")
    received = CounterMetricFamily(
        "container_network_receive_bytes", "Cumulative count of bytes received", labels=labels
    )
    sent = CounterMetricFamily(
        "container_network_transmit_bytes", "Cumulative count of bytes transmitted", labels=labels
    )
    for pod in pods:
        if pod.stats.linux.HasField("network"):
            usage = pod.stats.linux.network.default_interface
            values = (usage.name, pod.namespace, pod.name)
            received.add_metric(values, usage.rx_bytes.value)
            sent.add_metric(values, usage.tx_bytes.value)
    return [received, sent]


def runtime_metrics(told: Sequence[RuntimeMetrics], known: Iterable[Metric]) -> list[Metric]:
    """The rest of /metrics/cadvisor: what the runtimes measure, in whole numbers, without what is reported already."""
    names = {metric.name for metric in known}
    found: dict[str, tuple[Metric, list[str]]] = {}
    for descriptor in merged_descriptors(told):
        plain = descriptor.name.removesuffix("_total")
        if not names & {plain, descriptor.name}:
            found[descriptor.name] = (Metric(descriptor.name, descriptor.help, "gauge"), list(descriptor.label_keys))
    for pod in merged_metrics(told):
        for sample in (*pod.metrics, *(item for one in pod.container_metrics for item in one.metrics)):
            if sample.name not in found:
                continue
            metric, keys = found[sample.name]
            if sample.metric_type == cri.COUNTER:  # which the text format knows by the end of its name
                metric.name = sample.name.removesuffix("_total")
                metric.type = "counter" if metric.name != sample.name else "unknown"
            labels = dict(zip(keys, sample.label_values, strict=True))
            metric.add_sample(sample.name, labels, sample.value.value, timestamp=sample.timestamp / _NANO or None)
    return [metric for metric, _ in found.values() if metric.samples]


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


def _containers(pods: Iterable[PodStats]) -> Iterator[tuple[PodStats, ContainerStats]]:
    for pod in pods:
        for container in pod.containers:
            yield pod, container
