"""Metrics of pods and containers by the names that dashboards know from cAdvisor, made from their statistics.

The CRI carries whole numbers only: fractions of seconds are cut off.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from proto import cri_pb2 as cri

_NANO = 1_000_000_000
_LABELS = ("container", "id", "image", "name", "namespace", "pod")
_POD_LABELS = ("id", "name", "namespace", "pod")
_NETWORK_LABELS = (*_POD_LABELS, "interface")
_CONTAINER_NAME = "io.kubernetes.container.name"

_Subject = TypeVar("_Subject")
_Sample: TypeAlias = tuple[int, int] | None  # (when in ns, the value); None: not known


@dataclass(frozen=True, slots=True)
class _Family(Generic[_Subject]):
    """One metric: its name, what it says, its kind, and how it is read from statistics."""

    name: str
    help: str
    kind: "cri.MetricType"
    read: Callable[[_Subject], _Sample]


def _cpu_seconds(stats: cri.ContainerStats | cri.LinuxPodSandboxStats) -> _Sample:
    if not stats.cpu.HasField("usage_core_nano_seconds"):
        return None
    return stats.cpu.timestamp, stats.cpu.usage_core_nano_seconds.value // _NANO


def _memory(field: str) -> Callable[[cri.ContainerStats | cri.LinuxPodSandboxStats], _Sample]:
    def read(stats: cri.ContainerStats | cri.LinuxPodSandboxStats) -> _Sample:
        if not stats.memory.HasField(field):
            return None
        return stats.memory.timestamp, getattr(stats.memory, field).value

    return read


def _layer_bytes(stats: cri.ContainerStats) -> _Sample:
    if not stats.writable_layer.HasField("used_bytes"):
        return None
    return stats.writable_layer.timestamp, stats.writable_layer.used_bytes.value


def _swap_bytes(stats: cri.ContainerStats) -> _Sample:
    if not stats.swap.HasField("swap_usage_bytes"):
        return None
    return stats.swap.timestamp, stats.swap.swap_usage_bytes.value


def _processes(stats: cri.LinuxPodSandboxStats) -> _Sample:
    if not stats.process.HasField("process_count"):
        return None
    return stats.process.timestamp, stats.process.process_count.value


def _network(field: str) -> Callable[[cri.NetworkInterfaceUsage], _Sample]:
    def read(usage: cri.NetworkInterfaceUsage) -> _Sample:
        return (0, getattr(usage, field).value) if usage.HasField(field) else None

    return read


_CONTAINERS: tuple[_Family[cri.ContainerStats], ...] = (
    _Family("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.", cri.COUNTER, _cpu_seconds),
    _Family("container_memory_usage_bytes", "Current memory usage in bytes.", cri.GAUGE, _memory("usage_bytes")),
    _Family(
        "container_memory_working_set_bytes", "Current working set in bytes.", cri.GAUGE, _memory("working_set_bytes")
    ),
    _Family("container_memory_rss", "Size of RSS in bytes.", cri.GAUGE, _memory("rss_bytes")),
    _Family("container_memory_swap", "Swap usage in bytes.", cri.GAUGE, _swap_bytes),
    _Family("container_fs_usage_bytes", "Bytes that the container wrote to its layer.", cri.GAUGE, _layer_bytes),
)
_PODS: tuple[_Family[cri.LinuxPodSandboxStats], ...] = (
    _Family("pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod.", cri.COUNTER, _cpu_seconds),
    _Family("pod_memory_working_set_bytes", "Working set of the pod.", cri.GAUGE, _memory("working_set_bytes")),
    _Family("container_processes", "Number of processes running inside the pod.", cri.GAUGE, _processes),
)
_INTERFACES: tuple[_Family[cri.NetworkInterfaceUsage], ...] = (
    _Family("container_network_receive_bytes_total", "Bytes received.", cri.COUNTER, _network("rx_bytes")),
    _Family("container_network_receive_errors_total", "Errors in receiving.", cri.COUNTER, _network("rx_errors")),
    _Family("container_network_transmit_bytes_total", "Bytes transmitted.", cri.COUNTER, _network("tx_bytes")),
    _Family("container_network_transmit_errors_total", "Errors in transmitting.", cri.COUNTER, _network("tx_errors")),
)


def descriptors() -> list[cri.MetricDescriptor]:
    """Every metric that `of_pod` may have; its label values come in the order of these keys."""
    groups = ((_CONTAINERS, _LABELS), (_PODS, _POD_LABELS), (_INTERFACES, _NETWORK_LABELS))
    return [
        cri.MetricDescriptor(name=family.name, help=family.help, label_keys=keys)
        for families, keys in groups
        for family in families
    ]


def of_pod(stats: cri.PodSandboxStats, images: Mapping[str, str]) -> cri.PodSandboxMetrics:
    """`images`: container id -> image, as its configuration names it."""
    metadata, linux = stats.attributes.metadata, stats.linux
    own = (stats.attributes.id, stats.attributes.id, metadata.namespace, metadata.name)
    found = cri.PodSandboxMetrics(pod_sandbox_id=stats.attributes.id, metrics=_samples(_PODS, linux, own))
    for usage in linux.network.interfaces or [linux.network.default_interface]:
        found.metrics.extend(_samples(_INTERFACES, usage, (*own, usage.name), at_ns=linux.network.timestamp))
    for container in linux.containers:
        about = container.attributes
        name = about.labels.get(_CONTAINER_NAME) or about.metadata.name
        values = (name, about.id, images.get(about.id, ""), about.id, metadata.namespace, metadata.name)
        found.container_metrics.add(container_id=about.id, metrics=_samples(_CONTAINERS, container, values))
    return found


def _samples(
    families: Sequence[_Family[_Subject]], subject: _Subject, values: Sequence[str], *, at_ns: int = 0
) -> list[cri.Metric]:
    samples = ((family, family.read(subject)) for family in families)
    return [
        cri.Metric(
            name=family.name,
            timestamp=sample[0] or at_ns,
            metric_type=family.kind,
            label_values=values,
            value=cri.UInt64Value(value=sample[1]),
        )
        for family, sample in samples
        if sample is not None
    ]
