"""The stats summary (stats.kubelet.k8s.io v1alpha1), from statistics. Pure: what is not known is left out.

Source: docs/facts/node-resources.md 7.1.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nodeagent.stats.disk_usage import DiskUsage, of_layer, of_volume
from nodeagent.stats.node import Filesystem, Interface, NodeStats
from nodeagent.stats.pod_files import PodFiles
from nodeagent.stats.pods import ContainerStats, PodStats
from nodeagent.stats.system_containers import SystemContainer
from nodeagent.stats.volumes import PodVolumeStats
from nodeagent.volumes.contract import VolumeUsage
from proto import cri_pb2 as cri
from runtimes.kube.json_object import JsonObject
from runtimes.linux.cgroups.contract import Pressure
from runtimes.usage import fill_pressure

_DEFAULT_INTERFACE = "eth0"
_NO_VOLUMES = PodVolumeStats(time_ns=0, volumes={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Disks:
    """What is on disks. `images`: the file system that holds images and containers; `volumes`, `files`: by pod's uid."""

    images: Filesystem
    volumes: Mapping[str, PodVolumeStats] = field(default_factory=dict)
    files: Mapping[str, PodFiles] = field(default_factory=dict)


def summary(
    name: str,
    node: NodeStats,
    system: Iterable[SystemContainer],
    pods: Iterable[PodStats],
    disks: Disks | None = None,
) -> JsonObject:
    """`disks` None: only CPU, memory and swap of everything."""
    return {
        "node": _node(name, node, system, disks),
        "pods": [_pod(pod, node.filesystem, disks) for pod in pods],
    }


def timestamp(time_ns: int) -> str:
    """Seconds, as the API writes times."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _node(name: str, node: NodeStats, system: Iterable[SystemContainer], disks: Disks | None) -> JsonObject:
    time = timestamp(node.time_ns)
    document: JsonObject = {
        "nodeName": name,
        "systemContainers": [_system_container(each) for each in system],
        "startTime": node.start_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cpu": _without_none(
            {
                "time": time,
                "usageNanoCores": node.cpu_nano_cores,
                "usageCoreNanoSeconds": node.cpu_core_nano_seconds,
                "psi": _machine_psi(node.cpu_pressure),
            }
        ),
        "memory": _without_none(
            {
                "time": time,
                "availableBytes": max(0, node.memory_total_bytes - node.memory_working_set_bytes),
                "usageBytes": node.memory_usage_bytes,
                "workingSetBytes": node.memory_working_set_bytes,
                "rssBytes": node.memory_rss_bytes,
                "pageFaults": node.page_faults,
                "majorPageFaults": node.major_page_faults,
                "psi": _machine_psi(node.memory_pressure),
            }
        ),
        "swap": {
            "time": time,
            "swapAvailableBytes": node.swap_available_bytes,
            "swapUsageBytes": node.swap_usage_bytes,
        },
    }
    if disks is None:
        return document
    if node.io_pressure is not None:
        document["io"] = {"time": time, "psi": _machine_psi(node.io_pressure)}
    if node.interfaces:
        document["network"] = _network(time, [_interface(each) for each in node.interfaces])
    document["fs"] = _filesystem(time, node.filesystem)
    images = _filesystem(time, disks.images)
    document["runtime"] = {"imageFs": images, "containerFs": images}
    document["rlimit"] = {"time": time, "maxpid": node.max_pids, "curproc": node.running_processes}
    return document


def _system_container(found: SystemContainer) -> JsonObject:
    document: JsonObject = {
        "name": found.name,
        "startTime": timestamp(found.started_ns),
        "cpu": _cpu(found.stats.cpu),
        "memory": _memory(found.stats.memory),
    }
    if found.stats.HasField("swap"):
        document["swap"] = _swap([found.stats.swap])
    return document


def _pod(pod: PodStats, node_fs: Filesystem, disks: Disks | None) -> JsonObject:
    linux = pod.stats.linux
    files = disks.files.get(pod.uid) if disks is not None else None
    document: JsonObject = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": timestamp(pod.created_ns),
        "containers": [_container(container, node_fs, disks, files) for container in pod.containers],
        "cpu": _cpu(linux.cpu),
        "memory": _memory(linux.memory),
    }
    # the CRI has no swap of pods
    if swaps := [container.stats.swap for container in pod.containers if container.stats.HasField("swap")]:
        document["swap"] = _swap(swaps)
    if disks is None:
        return document
    if linux.io.HasField("psi"):
        document["io"] = {"time": timestamp(linux.io.timestamp), "psi": _psi(linux.io.psi)}
    if linux.HasField("network"):
        document["network"] = _pod_network(linux.network)
    if linux.HasField("process"):
        document["process_stats"] = {"process_count": linux.process.process_count.value}
    volumes = disks.volumes.get(pod.uid, _NO_VOLUMES)
    document |= _volumes(pod.namespace, volumes)
    if files is not None:
        document["ephemeral-storage"] = _on_node(files.time_ns, node_fs, _ephemeral(pod, files, volumes))
    return document


def _ephemeral(pod: PodStats, files: PodFiles, volumes: PodVolumeStats) -> DiskUsage:
    """What goes with the pod: its containers' layers, its logs and other files, and its volumes on the node's own disk."""
    total = files.total
    for container in pod.containers:
        total += of_layer(container.stats.writable_layer)
    for name in volumes.local & volumes.volumes.keys():
        total += of_volume(volumes.volumes[name])
    return total


def _volumes(namespace: str, found: PodVolumeStats) -> JsonObject:
    if not found.volumes:
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


def _container(
    container: ContainerStats, node_fs: Filesystem, disks: Disks | None, files: PodFiles | None
) -> JsonObject:
    stats = container.stats
    document: JsonObject = {
        "name": container.name,
        "startTime": timestamp(container.created_ns),
        "cpu": _cpu(stats.cpu),
        "memory": _memory(stats.memory),
    }
    if stats.HasField("swap"):
        document["swap"] = _swap([stats.swap])
    if disks is None:
        return document
    if stats.io.HasField("psi"):
        document["io"] = {"time": timestamp(stats.io.timestamp), "psi": _psi(stats.io.psi)}
    if stats.HasField("writable_layer"):
        layer = stats.writable_layer
        document["rootfs"] = _on_node(layer.timestamp, disks.images, of_layer(layer))
    if files is not None and (logs := files.logs.get(container.name)) is not None:
        document["logs"] = _on_node(files.time_ns, node_fs, logs)
    return document


def _cpu(cpu: cri.CpuUsage) -> JsonObject:
    document = _given(cpu, {"usageNanoCores": "usage_nano_cores", "usageCoreNanoSeconds": "usage_core_nano_seconds"})
    return document | ({"psi": _psi(cpu.psi)} if cpu.HasField("psi") else {})


def _memory(memory: cri.MemoryUsage) -> JsonObject:
    names = {
        "availableBytes": "available_bytes",
        "usageBytes": "usage_bytes",
        "workingSetBytes": "working_set_bytes",
        "rssBytes": "rss_bytes",
        "pageFaults": "page_faults",
        "majorPageFaults": "major_page_faults",
    }
    return _given(memory, names) | ({"psi": _psi(memory.psi)} if memory.HasField("psi") else {})


def _swap(found: Sequence[cri.SwapUsage]) -> JsonObject:
    """Of several containers together. A figure that one of them does not have, all do not have."""
    document: JsonObject = {"time": timestamp(max(each.timestamp for each in found))}
    for key, name in (("swapAvailableBytes", "swap_available_bytes"), ("swapUsageBytes", "swap_usage_bytes")):
        if all(each.HasField(name) for each in found):
            document[key] = sum(getattr(each, name).value for each in found)
    return document


def _psi(psi: cri.PsiStats) -> JsonObject:
    return {key: _stall(getattr(psi, name)) for key, name in (("full", "Full"), ("some", "Some")) if psi.HasField(name)}


def _stall(data: cri.PsiData) -> JsonObject:
    return {"total": data.Total, "avg10": data.Avg10, "avg60": data.Avg60, "avg300": data.Avg300}


def _machine_psi(found: Pressure | None) -> JsonObject | None:
    if found is None:
        return None
    psi = cri.PsiStats()
    fill_pressure(psi, found)
    return _psi(psi)


def _interface(found: Interface) -> JsonObject:
    return {
        "name": found.name,
        "rxBytes": found.rx_bytes,
        "rxErrors": found.rx_errors,
        "txBytes": found.tx_bytes,
        "txErrors": found.tx_errors,
    }


def _pod_network(network: cri.NetworkUsage) -> JsonObject:
    default = [network.default_interface] if network.HasField("default_interface") else []
    found = [
        Interface(
            name=usage.name,
            rx_bytes=usage.rx_bytes.value,
            rx_errors=usage.rx_errors.value,
            tx_bytes=usage.tx_bytes.value,
            tx_errors=usage.tx_errors.value,
        )
        for usage in (*default, *network.interfaces)
    ]
    return _network(timestamp(network.timestamp), [_interface(each) for each in found])


def _network(time: str, interfaces: Sequence[JsonObject]) -> JsonObject:
    default = next((each for each in interfaces if each["name"] == _DEFAULT_INTERFACE), {})
    return {"time": time, **default, "interfaces": list(interfaces)}


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


def _on_node(time_ns: int, filesystem: Filesystem, used: DiskUsage) -> JsonObject:
    """What somebody uses of a file system that others use, too."""
    own = {"usedBytes": used.used_bytes, "inodesUsed": used.inodes_used}
    return {**_filesystem(timestamp(time_ns), filesystem), **own}


def _given(message: Any, names: dict[str, str]) -> JsonObject:
    """The fields of a CRI message that the runtime filled in."""
    document: JsonObject = {"time": timestamp(message.timestamp)}
    for key, name in names.items():
        if message.HasField(name):
            document[key] = getattr(message, name).value
    return document


def _without_none(document: JsonObject) -> JsonObject:
    return {key: value for key, value in document.items() if value is not None}
