"""What a node and its pods use, as the node itself tells: its summary, and how far it is from evicting pods.

Pure but for `read`. Source: docs/facts/node-resources.md 5.1, 5.2, 7.1.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
from lightkube.models.core_v1 import Node

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.config.eviction import parse_amount, with_defaults
from runtimes.kube import quantity

_DEADLINE_SECONDS = 10.0
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")


class UsageUnknown(Exception):
    """The node does not answer, or answers something else; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One of an eviction, in bytes, inodes or processes; pods are evicted when less than `threshold` is available."""

    signal: str
    hard: bool
    available: int
    threshold: int
    capacity: int

    @property
    def distance(self) -> int:
        return self.available - self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeUse:
    """One of a pod, as full as its file system is. `claim`: empty where it is of none."""

    name: str
    claim: str
    used_bytes: int
    capacity_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PodUse:
    """None: not known (yet). `disk_bytes`: its ephemeral storage."""

    namespace: str
    name: str
    cpu_millicores: int | None
    memory_bytes: int | None
    disk_bytes: int | None
    processes: int | None
    volumes: tuple[VolumeUse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUse:
    """`stalls`: resource -> percent of the last ten seconds in which some, and in which all, tasks waited for it.

    `pressures`: conditions of the Node that are True. `cpus`, totals 0: not known.
    """

    name: str
    ready: bool
    pressures: tuple[str, ...]
    cpus: int
    cpu_millicores: int | None
    memory_bytes: int
    memory_total_bytes: int
    swap_bytes: int
    processes: int
    max_processes: int
    stalls: Mapping[str, tuple[float, float]]
    thresholds: tuple[Threshold, ...]
    pods: tuple[PodUse, ...]


async def which_node(client: ApiClient, name: str) -> str:
    """`name`, or that of the only node there is. Raises UsageUnknown, ApiError."""
    if name:
        return name
    names = [node.metadata.name or "" for node in (await client.list(Node)).items if node.metadata is not None]
    if len(names) != 1:
        raise UsageUnknown(f"there are {len(names)} nodes: say which one with --node-name")
    return names[0]


async def read(client: ApiClient, node_name: str) -> NodeUse:
    """Ask the API and, by way of it, the node. Raises UsageUnknown, ApiError for the Node itself."""
    asking = client.sharing(qps=-1, burst=4, timeout_seconds=_DEADLINE_SECONDS)
    proxy = f"/api/v1/nodes/{quote(node_name, safe='')}/proxy"
    node, summary, configuration = await asyncio.gather(
        client.get(Node, node_name),
        _page(asking, f"{proxy}/stats/summary"),
        _page(asking, f"{proxy}/configz"),
    )
    try:
        return node_use(node, summary, configuration.get("kubeletconfig") or {})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageUnknown(f"its summary cannot be read: {type(error).__name__}: {error}") from error


async def _page(client: ApiClient, path: str) -> dict[str, Any]:
    page = path.partition("/proxy")[2]
    try:
        return msgspec.json.decode(await client.request("GET", path, patient=False), type=dict[str, Any])
    except ApiError as error:
        raise UsageUnknown(error.message) from error
    except msgspec.DecodeError as error:
        raise UsageUnknown(f"its {page} cannot be read: {error}") from error


def node_use(node: Node, summary: Mapping[str, Any], configuration: Mapping[str, Any]) -> NodeUse:
    """`summary`: the node's /stats/summary; `configuration`: its KubeletConfiguration."""
    told = summary["node"]
    memory, rlimit = told["memory"], told.get("rlimit") or {}
    conditions = {item.type: item.status for item in (node.status.conditions if node.status else None) or ()}
    capacity = (node.status.capacity if node.status else None) or {}
    return NodeUse(
        name=told["nodeName"],
        ready=conditions.get("Ready") == "True",
        pressures=tuple(name for name in _PRESSURES if conditions.get(name) == "True"),
        cpus=quantity.value(capacity.get("cpu", 0)),
        cpu_millicores=_millicores(told["cpu"]),
        memory_bytes=memory["workingSetBytes"],
        memory_total_bytes=memory["workingSetBytes"] + memory.get("availableBytes", 0),
        swap_bytes=(told.get("swap") or {}).get("swapUsageBytes", 0),
        processes=rlimit.get("curproc", 0),
        max_processes=rlimit.get("maxpid", 0),
        stalls={name: _stall(told[name]) for name in ("cpu", "memory", "io") if "psi" in (told.get(name) or {})},
        thresholds=tuple(_thresholds(_signals(told), configuration)),
        pods=tuple(_pod(pod) for pod in summary.get("pods") or ()),
    )


def _millicores(cpu: Mapping[str, Any]) -> int | None:
    return round(cpu["usageNanoCores"] / 1_000_000) if "usageNanoCores" in cpu else None


def _stall(resource: Mapping[str, Any]) -> tuple[float, float]:
    psi = resource["psi"]
    return (psi.get("some") or {}).get("avg10", 0.0), (psi.get("full") or {}).get("avg10", 0.0)


def _pod(pod: Mapping[str, Any]) -> PodUse:
    return PodUse(
        namespace=pod["podRef"]["namespace"],
        name=pod["podRef"]["name"],
        cpu_millicores=_millicores(pod.get("cpu") or {}),
        memory_bytes=(pod.get("memory") or {}).get("workingSetBytes"),
        disk_bytes=(pod.get("ephemeral-storage") or {}).get("usedBytes"),
        processes=(pod.get("process_stats") or {}).get("process_count"),
        volumes=tuple(_volume(volume) for volume in pod.get("volume") or ()),
    )


def _volume(volume: Mapping[str, Any]) -> VolumeUse:
    return VolumeUse(
        name=volume["name"],
        claim=(volume.get("pvcRef") or {}).get("name", ""),
        used_bytes=volume.get("usedBytes", 0),
        capacity_bytes=volume.get("capacityBytes", 0),
    )


def _signals(told: Mapping[str, Any]) -> Mapping[str, tuple[int, int]]:
    """Eviction signal -> (available, capacity), of those that a summary tells."""
    memory, rlimit, runtime = told["memory"], told.get("rlimit"), told.get("runtime") or {}
    found: dict[str, tuple[int, int]] = {}
    if "availableBytes" in memory:
        found["memory.available"] = memory["availableBytes"], memory["workingSetBytes"] + memory["availableBytes"]
    if rlimit:
        found["pid.available"] = rlimit["maxpid"] - rlimit["curproc"], rlimit["maxpid"]
    disks = {"nodefs": told.get("fs"), "imagefs": runtime.get("imageFs"), "containerfs": runtime.get("containerFs")}
    for name, disk in disks.items():
        if disk:
            found[f"{name}.available"] = disk["availableBytes"], disk["capacityBytes"]
            found[f"{name}.inodesFree"] = disk["inodesFree"], disk["inodes"]
    return found


def _thresholds(signals: Mapping[str, tuple[int, int]], configuration: Mapping[str, Any]) -> Sequence[Threshold]:
    merge = bool(configuration.get("mergeDefaultEvictionSettings"))
    hard = with_defaults(configuration.get("evictionHard"), merge=merge)
    found: list[Threshold] = []
    for each, is_hard in ((hard, True), (configuration.get("evictionSoft") or {}, False)):
        for signal, text in each.items():
            available, capacity = signals.get(signal, (0, 0))
            amount = parse_amount(text)
            if not amount.is_off and (threshold := int(amount.of(capacity))) and capacity:
                found.append(
                    Threshold(signal=signal, hard=is_hard, available=available, threshold=threshold, capacity=capacity)
                )
    return sorted(found, key=lambda each: (each.signal, not each.hard))
