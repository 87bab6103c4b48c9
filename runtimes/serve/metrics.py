"""Metrics of several runtimes as one list; for runtimes that have none, made from their statistics.

The CRI carries whole numbers only: fractions of seconds are cut off.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import RuntimeService
from runtimes.kube.labels import LABEL_CONTAINER_NAME
from runtimes.metrics import Row, container_values, descriptors, pod_values

_NANO = 1_000_000_000
# what statistics tell
_FROM_STATISTICS = (
    "container_cpu_usage_seconds_total",
    "container_memory_usage_bytes",
    "container_memory_working_set_bytes",
    "container_memory_rss",
    "container_memory_swap",
    "container_fs_usage_bytes",
    "container_processes",
    "container_network_receive_bytes_total",
    "container_network_receive_errors_total",
    "container_network_transmit_bytes_total",
    "container_network_transmit_errors_total",
)
_MEMORY = {
    "container_memory_usage_bytes": "usage_bytes",
    "container_memory_working_set_bytes": "working_set_bytes",
    "container_memory_rss": "rss_bytes",
}
_NETWORK = {
    "container_network_receive_bytes_total": "rx_bytes",
    "container_network_receive_errors_total": "rx_errors",
    "container_network_transmit_bytes_total": "tx_bytes",
    "container_network_transmit_errors_total": "tx_errors",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeMetrics:
    """What one runtime tells."""

    descriptors: Sequence[cri.MetricDescriptor]
    pods: Sequence[cri.PodSandboxMetrics] = ()


async def descriptors_of(service: RuntimeService) -> RuntimeMetrics:
    """Raises RuntimeFault."""
    try:
        answer = await service.list_metric_descriptors(cri.ListMetricDescriptorsRequest())
    except errors.NotSupported:
        return RuntimeMetrics(descriptors=descriptors(_FROM_STATISTICS))
    return RuntimeMetrics(descriptors=answer.descriptors)


async def metrics_of(service: RuntimeService) -> RuntimeMetrics:
    """Raises RuntimeFault; NotSupported where there are no statistics of pods either."""
    try:
        described = await service.list_metric_descriptors(cri.ListMetricDescriptorsRequest())
        answer = await service.list_pod_sandbox_metrics(cri.ListPodSandboxMetricsRequest())
    except errors.NotSupported:
        return await _of_statistics(service)
    return RuntimeMetrics(descriptors=described.descriptors, pods=answer.pod_metrics)


async def _of_statistics(service: RuntimeService) -> RuntimeMetrics:
    stats = (await service.list_pod_sandbox_stats(cri.ListPodSandboxStatsRequest())).stats
    containers = (await service.list_containers(cri.ListContainersRequest())).containers
    return from_statistics(stats, containers)


def from_statistics(stats: Iterable[cri.PodSandboxStats], containers: Iterable[cri.Container]) -> RuntimeMetrics:
    """`containers`: those that may be in `stats`, for their images."""
    images = {item.id: item.image.user_specified_image or item.image.image for item in containers}
    return RuntimeMetrics(descriptors=descriptors(_FROM_STATISTICS), pods=[of_pod(entry, images) for entry in stats])


def merged_descriptors(told: Iterable[RuntimeMetrics]) -> list[cri.MetricDescriptor]:
    """Every name once, with the labels that any of the runtimes gives it."""
    found: dict[str, cri.MetricDescriptor] = {}
    for one in told:
        for descriptor in one.descriptors:
            known = found.setdefault(descriptor.name, cri.MetricDescriptor(name=descriptor.name, help=descriptor.help))
            known.label_keys.extend(key for key in descriptor.label_keys if key not in known.label_keys)
    return list(found.values())


def merged_metrics(told: Sequence[RuntimeMetrics]) -> list[cri.PodSandboxMetrics]:
    """All pods, the values of their labels in the order of `merged_descriptors`; metrics that nobody describes are left out."""
    wanted = {descriptor.name: list(descriptor.label_keys) for descriptor in merged_descriptors(told)}
    found: list[cri.PodSandboxMetrics] = []
    for one in told:
        own = {descriptor.name: list(descriptor.label_keys) for descriptor in one.descriptors}
        if own.items() <= wanted.items():  # as always with runtimes of one kind
            found += one.pods
            continue
        for pod in one.pods:
            changed = cri.PodSandboxMetrics(
                pod_sandbox_id=pod.pod_sandbox_id, metrics=_relabelled(pod.metrics, own, wanted)
            )
            for container in pod.container_metrics:
                metrics = _relabelled(container.metrics, own, wanted)
                changed.container_metrics.add(container_id=container.container_id, metrics=metrics)
            found.append(changed)
    return found


def _relabelled(
    metrics: Iterable[cri.Metric], own: Mapping[str, Sequence[str]], wanted: Mapping[str, Sequence[str]]
) -> list[cri.Metric]:
    changed: list[cri.Metric] = []
    for metric in metrics:
        keys = own.get(metric.name, ())
        if len(keys) != len(metric.label_values) or metric.name not in own:
            continue
        values = dict(zip(keys, metric.label_values, strict=True))
        again = cri.Metric()
        again.CopyFrom(metric)
        again.label_values[:] = [values.get(key, "") for key in wanted[metric.name]]
        changed.append(again)
    return changed


def of_pod(stats: cri.PodSandboxStats, images: Mapping[str, str]) -> cri.PodSandboxMetrics:
    """`images`: container id -> image, as its configuration names it. What is not known is absent, not 0."""
    metadata, linux, sandbox_id = stats.attributes.metadata, stats.linux, stats.attributes.id
    own = pod_values(sandbox_id, metadata)
    found = cri.PodSandboxMetrics(pod_sandbox_id=sandbox_id, metrics=_of_cgroup(own, linux.cpu, linux.memory))
    if linux.process.HasField("process_count"):
        row = Row(own, linux.process.timestamp)
        row.add("container_processes", linux.process.process_count.value)
        found.metrics.extend(row.metrics)
    row = Row(own, linux.network.timestamp)
    default = [linux.network.default_interface] if linux.network.HasField("default_interface") else []
    for usage in {item.name: item for item in (*default, *linux.network.interfaces)}.values():
        for family, field in _NETWORK.items():
            row.add(family, getattr(usage, field).value if usage.HasField(field) else None, usage.name)
    found.metrics.extend(row.metrics)
    for container in linux.containers:
        about = container.attributes
        name = about.labels.get(LABEL_CONTAINER_NAME) or about.metadata.name
        values = container_values(about.id, name, images.get(about.id, ""), metadata)
        found.container_metrics.add(container_id=about.id, metrics=_of_container(values, container))
    return found


def _of_container(values: Sequence[str], stats: cri.ContainerStats) -> list[cri.Metric]:
    metrics = _of_cgroup(values, stats.cpu, stats.memory)
    if stats.swap.HasField("swap_usage_bytes"):
        row = Row(values, stats.swap.timestamp)
        row.add("container_memory_swap", stats.swap.swap_usage_bytes.value)
        metrics += row.metrics
    if stats.writable_layer.HasField("used_bytes"):
        row = Row(values, stats.writable_layer.timestamp)
        row.add("container_fs_usage_bytes", stats.writable_layer.used_bytes.value, "")
        metrics += row.metrics
    return metrics


def _of_cgroup(values: Sequence[str], cpu: cri.CpuUsage, memory: cri.MemoryUsage) -> list[cri.Metric]:
    of_cpu, of_memory = Row(values, cpu.timestamp), Row(values, memory.timestamp)
    if cpu.HasField("usage_core_nano_seconds"):
        of_cpu.add("container_cpu_usage_seconds_total", cpu.usage_core_nano_seconds.value // _NANO, "total")
    for family, field in _MEMORY.items():
        of_memory.add(family, getattr(memory, field).value if memory.HasField(field) else None)
    return [*of_cpu.metrics, *of_memory.metrics]
