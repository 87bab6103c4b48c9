"""The stats summary (stats.kubelet.k8s.io v1alpha1), from statistics. Pure: what is not known is left out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nodeagent.stats.node import Filesystem, NodeStats
from nodeagent.stats.pods import ContainerStats, PodStats
from nodeagent.stats.volumes import PodVolumeStats
from nodeagent.volumes.contract import VolumeUsage
from proto import cri_pb2 as cri
from runtimes.kube.json_object import JsonObject

_NO_VOLUMES: Mapping[str, PodVolumeStats] = {}


def summary(
    name: str,
    node: NodeStats,
    pods: tuple[PodStats, ...],
    *,
    images: Filesystem | None = None,
    volumes: Mapping[str, PodVolumeStats] = _NO_VOLUMES,
    only_cpu_and_memory: bool = False,
) -> JsonObject:
    """`images`: the file system that holds the images. `volumes`: by pod's uid, what is measured of them."""
    small = only_cpu_and_memory
    return {
        "node": _node(name, node, images, small),
        "pods": [
            _pod(pod, node.filesystem, small) | ({} if small else _volumes(pod.namespace, volumes.get(pod.uid)))
            for pod in pods
        ],
    }


def timestamp(time_ns: int) -> str:
    """Seconds, as the API writes times."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _node(name: str, node: NodeStats, images: Filesystem | None, small: bool) -> JsonObject:
    time = timestamp(node.time_ns)
    document: JsonObject = {
        "nodeName": name,
        "startTime": node.start_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cpu": _without_none(
            {"time": time, "usageNanoCores": node.cpu_nano_cores, "usageCoreNanoSeconds": node.cpu_core_nano_seconds}
        ),
        "memory": {
            "time": time,
            "availableBytes": node.memory_total_bytes - node.memory_working_set_bytes,
            "usageBytes": node.memory_usage_bytes,
            "workingSetBytes": node.memory_working_set_bytes,
            "rssBytes": node.memory_rss_bytes,
        },
    }
    if small:
        return document
    interfaces = [
        {
            "name": item.name,
            "rxBytes": item.rx_bytes,
            "rxErrors": item.rx_errors,
            "txBytes": item.tx_bytes,
            "txErrors": item.tx_errors,
        }
        for item in node.interfaces
    ]
    if interfaces:
        document["network"] = {"time": time, **interfaces[0], "interfaces": interfaces}
    document["fs"] = _filesystem(time, node.filesystem)
    if images is not None:
        document["runtime"] = {"imageFs": _filesystem(time, images), "containerFs": _filesystem(time, images)}
    document["rlimit"] = {"time": time, "maxpid": node.max_pids, "curproc": node.running_processes}
    document["swap"] = {
        "time": time,
        "swapAvailableBytes": node.swap_available_bytes,
        "swapUsageBytes": node.swap_usage_bytes,
    }
    return document


def _pod(pod: PodStats, node_fs: Filesystem, small: bool) -> JsonObject:
    linux = pod.stats.linux
    document: JsonObject = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": timestamp(pod.created_ns),
        "containers": [_container(container, node_fs, small) for container in pod.containers],
        "cpu": _cpu(linux.cpu),
        "memory": _memory(linux.memory),
    }
    if small:
        return document
    if linux.HasField("network"):
        document["network"] = _network(linux.network)
    if linux.HasField("process"):
        document["process_stats"] = {"process_count": linux.process.process_count.value}
    return document


def _volumes(namespace: str, found: PodVolumeStats | None) -> JsonObject:
    if found is None or not found.volumes:
        return {}
    time = timestamp(found.time_ns)
    return {"volume": [_volume(time, name, namespace, usage) for name, usage in sorted(found.volumes.items())]}


def _volume(time: str, name: str, namespace: str, usage: VolumeUsage) -> JsonObject:
    return _without_none(
        {
            "time": time,
            "availableBytes": usage.available_bytes,
            "capacityBytes": usage.capacity_bytes,
            "usedBytes": usage.used_bytes,
            "inodesFree": usage.inodes_free,
            "inodes": usage.inodes,
            "inodesUsed": usage.inodes_used,
            "name": name,
            "pvcRef": {"name": usage.claim, "namespace": namespace} if usage.claim else None,
            "volumeHealthStats": None if usage.abnormal is None else {"abnormal": usage.abnormal},
        }
    )


def _container(container: ContainerStats, node_fs: Filesystem, small: bool) -> JsonObject:
    stats = container.stats
    document: JsonObject = {
        "name": container.name,
        "startTime": timestamp(container.created_ns),
        "cpu": _cpu(stats.cpu),
        "memory": _memory(stats.memory),
    }
    if small:
        return document
    if stats.HasField("writable_layer"):
        layer = stats.writable_layer
        document["rootfs"] = {
            "time": timestamp(layer.timestamp),
            "availableBytes": node_fs.available_bytes,
            "capacityBytes": node_fs.capacity_bytes,
            "usedBytes": layer.used_bytes.value,
            "inodesFree": node_fs.inodes_free,
            "inodes": node_fs.inodes,
            "inodesUsed": layer.inodes_used.value,
        }
    if stats.HasField("swap"):
        document["swap"] = {
            "time": timestamp(stats.swap.timestamp),
            "swapAvailableBytes": stats.swap.swap_available_bytes.value,
            "swapUsageBytes": stats.swap.swap_usage_bytes.value,
        }
    return document


def _cpu(cpu: cri.CpuUsage) -> JsonObject:
    return _given(cpu, {"usageNanoCores": "usage_nano_cores", "usageCoreNanoSeconds": "usage_core_nano_seconds"})


def _memory(memory: cri.MemoryUsage) -> JsonObject:
    names = {
        "availableBytes": "available_bytes",
        "usageBytes": "usage_bytes",
        "workingSetBytes": "working_set_bytes",
        "rssBytes": "rss_bytes",
        "pageFaults": "page_faults",
        "majorPageFaults": "major_page_faults",
    }
    return _given(memory, names)


def _network(network: cri.NetworkUsage) -> JsonObject:
    def interface(usage: cri.NetworkInterfaceUsage) -> JsonObject:
        return {
            "name": usage.name,
            "rxBytes": usage.rx_bytes.value,
            "rxErrors": usage.rx_errors.value,
            "txBytes": usage.tx_bytes.value,
            "txErrors": usage.tx_errors.value,
        }

    default = interface(network.default_interface)
    return {
        "time": timestamp(network.timestamp),
        **default,
        "interfaces": [default, *(interface(item) for item in network.interfaces)],
    }


def _filesystem(time: str, found: Filesystem) -> JsonObject:
    return {
        "time": time,
        "availableBytes": found.available_bytes,
        "capacityBytes": found.capacity_bytes,
        "usedBytes": found.used_bytes,
        "inodesFree": found.inodes_free,
        "inodes": found.inodes,
        "inodesUsed": found.inodes - found.inodes_free,
    }


def _given(message: Any, names: dict[str, str]) -> JsonObject:
    """The fields of a CRI message that the runtime filled in."""
    document: JsonObject = {"time": timestamp(message.timestamp)}
    for key, name in names.items():
        if message.HasField(name):
            document[key] = getattr(message, name).value
    return document


def _without_none(document: JsonObject) -> JsonObject:
    return {key: value for key, value in document.items() if value is not None}
