"""/metrics/cadvisor: containers, pods, the groups they are in, and the machine, under the names that dashboards know.

A container's rows and a pod's are what its runtime measures; CPU time is taken from its statistics, since the CRI has whole
seconds there. Source: docs/facts/node-resources.md 7.2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from nodeagent.metrics.machine import MachineMetrics
from nodeagent.metrics.registry import expose
from nodeagent.metrics.runtime_text import runtime_text
from nodeagent.stats.node import Filesystem, NodeStats
from nodeagent.stats.pods import PodsSnapshot
from nodeagent.stats.system_containers import Groups
from proto import cri_pb2 as cri
from runtimes.cgroup_metrics import fill_pressure
from runtimes.metrics import FAMILIES, LABELS, Row, descriptors
from runtimes.serve.metrics import RuntimeMetrics

_NANO = 1_000_000_000
_ROOT = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """`pods`: by their runtimes' statistics; `told`: by their runtimes' metrics; `groups`: what is above the pods.

    `paths`: cgroups by what runtimes call the pods and containers in them.
    """

    node: NodeStats
    pods: PodsSnapshot
    told: Sequence[RuntimeMetrics]
    groups: Groups
    paths: Mapping[str, str]


def cadvisor_page(measured: Measured, machine: MachineMetrics) -> bytes:
    """The whole page, as text."""
    above = [_root_row(measured.node), *measured.groups.rows]
    one = cri.PodSandboxMetrics(metrics=[sample for row in above for sample in row.metrics])
    own = RuntimeMetrics(descriptors=descriptors(FAMILIES), pods=[one])
    cpu = _cpu(measured)
    failed = GaugeMetricFamily("container_scrape_error", "1 if a container runtime did not answer, 0 otherwise")
    failed.add_metric((), 0 if measured.pods.complete else 1)
    return expose([cpu, failed, *machine.collect()]) + runtime_text([own, *measured.told], measured.paths, [cpu])


def _cpu(measured: Measured) -> Metric:
    """In fractions of seconds. What is still 0 is left out, as a counter that has not begun."""
    family = CounterMetricFamily(
        "container_cpu_usage_seconds", "Cumulative cpu time consumed in seconds.", labels=(*LABELS, "cpu")
    )

    def add(values: Sequence[str], usage_ns: int, time_ns: int) -> None:
        if usage_ns:
            family.add_metric((*values, "total"), usage_ns / _NANO, timestamp=time_ns / _NANO)

    add(_of_group(_ROOT), measured.node.cpu_core_nano_seconds, measured.node.time_ns)
    for group in measured.groups.usages:
        cpu = group.stats.cpu
        add(_of_group(group.cgroup), cpu.usage_core_nano_seconds.value, cpu.timestamp)
    known = measured.paths
    for pod in measured.pods.pods:
        cpu, found = pod.stats.linux.cpu, pod.stats.attributes.id
        values = ("", known.get(found, found), "", found, pod.namespace, pod.name)
        add(values, cpu.usage_core_nano_seconds.value, cpu.timestamp)
        for container in pod.containers:
            cpu, found = container.stats.cpu, container.stats.attributes.id
            values = (container.name, known.get(found, found), container.image, found, pod.namespace, pod.name)
            add(values, cpu.usage_core_nano_seconds.value, cpu.timestamp)
    return family


def _of_group(cgroup: str) -> tuple[str, ...]:
    return ("", cgroup, "", "", "", "")


def _root_row(node: NodeStats) -> Row:
    """The machine as the root of all cgroups, of which not every kernel has these figures."""
    row = Row(_of_group(_ROOT), node.time_ns)
    row.add("container_memory_usage_bytes", node.memory_usage_bytes)
    row.add("container_memory_working_set_bytes", node.memory_working_set_bytes)
    row.add("container_memory_rss", node.memory_rss_bytes)
    row.add("container_memory_swap", node.swap_usage_bytes)
    for kind, count in (("pgfault", node.page_faults), ("pgmajfault", node.major_page_faults)):
        row.add("container_memory_failures_total", count, kind, "hierarchy")
    _add_filesystem(row, node.filesystem)
    for each in node.interfaces:
        for name, count in (
            ("receive_bytes", each.rx_bytes),
            ("receive_packets", each.rx_packets),
            ("receive_errors", each.rx_errors),
            ("receive_packets_dropped", each.rx_dropped),
            ("transmit_bytes", each.tx_bytes),
            ("transmit_packets", each.tx_packets),
            ("transmit_errors", each.tx_errors),
            ("transmit_packets_dropped", each.tx_dropped),
        ):
            row.add(f"container_network_{name}_total", count, each.name)
    for resource, found in (("cpu", node.cpu_pressure), ("memory", node.memory_pressure), ("io", node.io_pressure)):
        fill_pressure(row, resource, found)
    row.add("container_spec_memory_limit_bytes", node.memory_total_bytes)
    row.add("container_start_time_seconds", int(node.start_time.timestamp()))
    row.add("container_last_seen", node.time_ns // _NANO)
    return row


def _add_filesystem(row: Row, found: Filesystem) -> None:
    row.add("container_fs_usage_bytes", found.used_bytes, found.device)
    row.add("container_fs_limit_bytes", found.capacity_bytes, found.device)
    row.add("container_fs_inodes_total", found.inodes, found.device)
    row.add("container_fs_inodes_free", found.inodes_free, found.device)
