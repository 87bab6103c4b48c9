"""The metrics of pods and containers that CRI clients know: names, labels and kinds (the CRI's MetricDescriptor and Metric).

The names are cAdvisor's, as dashboards have them and as containerd and CRI-O give them through the CRI. One name has the same
labels in every row; a pod's own rows, of its cgroup and its network, have an empty `container` and `image`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proto import cri_pb2 as cri

LABELS = ("container", "id", "image", "name", "namespace", "pod")

_COUNTER, _GAUGE = cri.COUNTER, cri.GAUGE


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `more`: its labels beside LABELS."""

    name: str
    kind: "cri.MetricType"
    help: str
    more: tuple[str, ...] = ()

    def descriptor(self) -> cri.MetricDescriptor:
        return cri.MetricDescriptor(name=self.name, help=self.help, label_keys=(*LABELS, *self.more))


_DEVICE, _INTERFACE, _SIZE = ("device",), ("interface",), ("pagesize",)
_BLOCK_DEVICE = ("device", "major", "minor", "operation")

FAMILIES = {
    family.name: family
    for family in (
        # processor
        Family("container_cpu_usage_seconds_total", _COUNTER, "CPU time used, in seconds.", ("cpu",)),
        Family("container_cpu_user_seconds_total", _COUNTER, "CPU time used in user mode, in seconds."),
        Family("container_cpu_system_seconds_total", _COUNTER, "CPU time used in the kernel, in seconds."),
        Family("container_cpu_cfs_periods_total", _COUNTER, "Periods in which the CPU quota was watched over."),
        Family("container_cpu_cfs_throttled_periods_total", _COUNTER, "Periods in which the quota was used up."),
        Family("container_cpu_cfs_throttled_seconds_total", _COUNTER, "Seconds spent waiting for the next period."),
        Family("container_cpu_cfs_burst_periods_total", _COUNTER, "Periods in which more than the quota was used."),
        Family("container_cpu_cfs_burst_seconds_total", _COUNTER, "CPU time used beyond the quota, in seconds."),
        # memory
        Family("container_memory_usage_bytes", _GAUGE, "Memory charged, page cache and all."),
        Family("container_memory_max_usage_bytes", _GAUGE, "The most memory that was ever charged at once."),
        Family("container_memory_working_set_bytes", _GAUGE, "Memory charged without inactive page cache."),
        Family("container_memory_rss", _GAUGE, "Anonymous memory in bytes."),
        Family("container_memory_cache", _GAUGE, "Page cache in bytes."),
        Family("container_memory_mapped_file", _GAUGE, "Mapped files in bytes."),
        Family("container_memory_swap", _GAUGE, "Swap in use, in bytes."),
        Family("container_memory_kernel_usage", _GAUGE, "Memory of the kernel's own, in bytes."),
        Family("container_memory_failcnt", _COUNTER, "How often the memory limit was hit."),
        Family("container_memory_total_active_file_bytes", _GAUGE, "Active page cache in bytes."),
        Family("container_memory_total_inactive_file_bytes", _GAUGE, "Inactive page cache in bytes."),
        Family(
            "container_memory_failures_total",
            _COUNTER,
            "Page faults, by type, of the cgroup alone and with those below it.",
            ("failure_type", "scope"),
        ),
        Family("container_oom_events_total", _COUNTER, "Processes that were killed for want of memory."),
        # huge pages
        Family("container_hugetlb_usage_bytes", _GAUGE, "Huge pages in use, in bytes.", _SIZE),
        Family("container_hugetlb_max_usage_bytes", _GAUGE, "The most huge pages ever in use, in bytes.", _SIZE),
        # files and block devices
        Family("container_fs_usage_bytes", _GAUGE, "Bytes in the writable layer.", _DEVICE),
        Family("container_fs_limit_bytes", _GAUGE, "Size of the writable layer's file system in bytes.", _DEVICE),
        Family("container_fs_inodes_total", _GAUGE, "Inodes of the writable layer's file system.", _DEVICE),
        Family("container_fs_inodes_free", _GAUGE, "Free inodes of the writable layer's file system.", _DEVICE),
        Family("container_fs_reads_bytes_total", _COUNTER, "Bytes read from the device.", _DEVICE),
        Family("container_fs_writes_bytes_total", _COUNTER, "Bytes written to the device.", _DEVICE),
        Family("container_fs_reads_total", _COUNTER, "Reads from the device.", _DEVICE),
        Family("container_fs_writes_total", _COUNTER, "Writes to the device.", _DEVICE),
        Family("container_blkio_device_usage_total", _COUNTER, "Bytes moved, by operation.", _BLOCK_DEVICE),
        # network
        Family("container_network_receive_bytes_total", _COUNTER, "Bytes received.", _INTERFACE),
        Family("container_network_receive_packets_total", _COUNTER, "Packets received.", _INTERFACE),
        Family("container_network_receive_errors_total", _COUNTER, "Errors in receiving.", _INTERFACE),
        Family("container_network_receive_packets_dropped_total", _COUNTER, "Packets dropped on receipt.", _INTERFACE),
        Family("container_network_transmit_bytes_total", _COUNTER, "Bytes sent.", _INTERFACE),
        Family("container_network_transmit_packets_total", _COUNTER, "Packets sent.", _INTERFACE),
        Family("container_network_transmit_errors_total", _COUNTER, "Errors in sending.", _INTERFACE),
        Family("container_network_transmit_packets_dropped_total", _COUNTER, "Packets dropped on sending.", _INTERFACE),
        # processes
        Family("container_processes", _GAUGE, "Processes."),
        Family("container_threads", _GAUGE, "Threads of all processes."),
        Family("container_threads_max", _GAUGE, "How many threads there may be; 0 for any number."),
        Family("container_file_descriptors", _GAUGE, "Open file descriptors of all processes."),
        Family("container_sockets", _GAUGE, "Open sockets of all processes."),
        Family("container_ulimits_soft", _GAUGE, "Soft limits of the first process, where it has any.", ("ulimit",)),
        # what it was given
        Family("container_spec_cpu_period", _GAUGE, "The period of the CPU quota in microseconds."),
        Family("container_spec_cpu_quota", _GAUGE, "CPU time a period in microseconds; absent without a limit."),
        Family("container_spec_cpu_shares", _GAUGE, "Share of the CPU beside its neighbours."),
        Family("container_spec_memory_limit_bytes", _GAUGE, "Memory limit; 0 for none."),
        Family("container_spec_memory_reservation_limit_bytes", _GAUGE, "Memory kept when it is scarce; 0 for none."),
        Family("container_spec_memory_swap_limit_bytes", _GAUGE, "Limit of memory and swap together; 0 for none."),
        Family("container_start_time_seconds", _GAUGE, "When it was started, in seconds since 1970."),
        Family("container_last_seen", _GAUGE, "When these figures were taken, in seconds since 1970."),
        # pressure
        *(
            Family(
                f"container_pressure_{resource}_{kind}_seconds_total",
                _COUNTER,
                f"Seconds in which {who} for {resource}.",
            )
            for resource in ("cpu", "memory", "io")
            for kind, who in (("waiting", "some of its tasks waited"), ("stalled", "all of its tasks waited"))
        ),
    )
}


class Row:
    """Samples of one pod or container, taken at one moment."""

    def __init__(self, values: Sequence[str], at_ns: int) -> None:
        """`values`: of LABELS."""
        self._values = tuple(values)
        self._at_ns = at_ns
        self.metrics: list[cri.Metric] = []

    def add(self, name: str, value: int | None, *more: str) -> None:
        """`more`: values of the family's own labels. None: not known, so left out."""
        family = FAMILIES[name]
        assert len(more) == len(family.more), name
        if value is None:
            return
        metric = cri.Metric(
            name=name, timestamp=self._at_ns, metric_type=family.kind, label_values=(*self._values, *more)
        )
        metric.value.value = max(0, value)  # a message made apart and copied into it takes half as long again
        self.metrics.append(metric)


def pod_values(sandbox_id: str, metadata: cri.PodSandboxMetadata) -> tuple[str, ...]:
    """Values of LABELS for a pod's own row."""
    return ("", sandbox_id, "", sandbox_id, metadata.namespace, metadata.name)


def container_values(container_id: str, name: str, image: str, metadata: cri.PodSandboxMetadata) -> tuple[str, ...]:
    """Values of LABELS for a container's row; `metadata` is its pod's."""
    return (name, container_id, image, container_id, metadata.namespace, metadata.name)


def descriptors(names: Iterable[str]) -> list[cri.MetricDescriptor]:
    return [FAMILIES[name].descriptor() for name in names]
