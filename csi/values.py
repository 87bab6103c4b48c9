"""What drivers say of themselves and of volumes, as Python values. Each is made of an answer, and says what a wrong one is.

Requests are the messages of `proto.csi_pb2` themselves. What an answer has that this version of CSI does not know is left out, as
newer drivers must work.
"""

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from csi.errors import BadAnswer
from proto import csi_pb2 as csi

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
_MAX_NODE_ID_BYTES = 256


class PluginCapability(enum.StrEnum):
    """GetPluginCapabilities: services and kinds of expansion."""

    CONTROLLER_SERVICE = "CONTROLLER_SERVICE"
    VOLUME_ACCESSIBILITY_CONSTRAINTS = "VOLUME_ACCESSIBILITY_CONSTRAINTS"
    GROUP_CONTROLLER_SERVICE = "GROUP_CONTROLLER_SERVICE"
    SNAPSHOT_METADATA_SERVICE = "SNAPSHOT_METADATA_SERVICE"
    ONLINE_EXPANSION = "ONLINE"
    OFFLINE_EXPANSION = "OFFLINE"


class ControllerCapability(enum.Enum):
    """ControllerGetCapabilities, by the numbers of ControllerServiceCapability.RPC.Type."""

    CREATE_DELETE_VOLUME = 1
    PUBLISH_UNPUBLISH_VOLUME = 2
    LIST_VOLUMES = 3
    GET_CAPACITY = 4
    CREATE_DELETE_SNAPSHOT = 5
    LIST_SNAPSHOTS = 6
    CLONE_VOLUME = 7
    PUBLISH_READONLY = 8
    EXPAND_VOLUME = 9
    LIST_VOLUMES_PUBLISHED_NODES = 10
    VOLUME_CONDITION = 11
    GET_VOLUME = 12
    SINGLE_NODE_MULTI_WRITER = 13
    MODIFY_VOLUME = 14
    GET_SNAPSHOT = 15


class GroupControllerCapability(enum.Enum):
    """GroupControllerGetCapabilities, by the numbers of GroupControllerServiceCapability.RPC.Type."""

    CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT = 1


class NodeCapability(enum.Enum):
    """NodeGetCapabilities, by the numbers of NodeServiceCapability.RPC.Type."""

    STAGE_UNSTAGE_VOLUME = 1
    GET_VOLUME_STATS = 2
    EXPAND_VOLUME = 3
    VOLUME_CONDITION = 4
    SINGLE_NODE_MULTI_WRITER = 5
    VOLUME_MOUNT_GROUP = 6


class AccessMode(enum.IntEnum):
    """VolumeCapability.AccessMode.Mode."""

    SINGLE_NODE_WRITER = 1
    SINGLE_NODE_READER_ONLY = 2
    MULTI_NODE_READER_ONLY = 3
    MULTI_NODE_SINGLE_WRITER = 4
    MULTI_NODE_MULTI_WRITER = 5
    SINGLE_NODE_SINGLE_WRITER = 6
    SINGLE_NODE_MULTI_WRITER = 7

    @property
    def reads_only(self) -> bool:
        return self in (AccessMode.SINGLE_NODE_READER_ONLY, AccessMode.MULTI_NODE_READER_ONLY)


def mount_capability(
    mode: AccessMode, *, fs_type: str = "", mount_flags: Iterable[str] = (), mount_group: str = ""
) -> csi.VolumeCapability:
    """A volume that is to be a file system. `fs_type` empty: the driver's choice; `mount_group`: a number as text."""
    mount = csi.VolumeCapability.MountVolume(
        fs_type=fs_type, mount_flags=list(mount_flags), volume_mount_group=mount_group
    )
    return csi.VolumeCapability(mount=mount, access_mode=_mode(mode))


def block_capability(mode: AccessMode) -> csi.VolumeCapability:
    """A volume that is to be a block device."""
    return csi.VolumeCapability(block=csi.VolumeCapability.BlockVolume(), access_mode=_mode(mode))


def _mode(mode: AccessMode) -> csi.VolumeCapability.AccessMode:
    return csi.VolumeCapability.AccessMode(mode=csi.VolumeCapability.AccessMode.Mode.Name(mode))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """`name`: the driver's, as in `spec.csi.driver` of a PersistentVolume."""

    name: str
    vendor_version: str
    manifest: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, answer: csi.GetPluginInfoResponse) -> "Plugin":
        """Raises BadAnswer for a name that is none."""
        if not _NAME.fullmatch(answer.name):
            raise BadAnswer(f"{answer.name[:80]!r} is no name of a driver", method="GetPluginInfo")
        return cls(name=answer.name, vendor_version=answer.vendor_version, manifest=dict(answer.manifest))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """`node_id`: what the driver calls this node. `max_volumes`: 0: it does not say. `topology`: where the node is."""

    node_id: str
    max_volumes: int = 0
    topology: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, answer: csi.NodeGetInfoResponse) -> "NodeInfo":
        """Raises BadAnswer for no id, one that is too long, and a negative count."""
        if not 0 < len(answer.node_id.encode()) <= _MAX_NODE_ID_BYTES:
            raise BadAnswer(f"a node id of {len(answer.node_id.encode())} bytes", method="NodeGetInfo")
        if answer.max_volumes_per_node < 0:
            raise BadAnswer(f"max_volumes_per_node is {answer.max_volumes_per_node}", method="NodeGetInfo")
        return cls(
            node_id=answer.node_id,
            max_volumes=answer.max_volumes_per_node,
            topology=dict(answer.accessible_topology.segments),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of one unit: bytes or inodes. A driver that knows only the total leaves the others at 0."""

    total: int
    used: int
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a volume is, as its driver sees it."""

    abnormal: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeStats:
    """What NodeGetVolumeStats answers; None: the driver does not say."""

    usage_bytes: Usage | None
    usage_inodes: Usage | None
    condition: Condition | None

    @classmethod
    def of(cls, answer: csi.NodeGetVolumeStatsResponse) -> "VolumeStats":
        """Of several entries of one unit the last counts; those of another unit do not (docs/facts/storage.md 8)."""
        by_unit = {
            entry.unit: Usage(total=entry.total, used=entry.used, available=entry.available) for entry in answer.usage
        }
        told = answer.volume_condition if answer.HasField("volume_condition") else None
        return cls(
            usage_bytes=by_unit.get(csi.VolumeUsage.BYTES),
            usage_inodes=by_unit.get(csi.VolumeUsage.INODES),
            condition=None if told is None else Condition(abnormal=told.abnormal, message=told.message),
        )


def plugin_capabilities(answer: csi.GetPluginCapabilitiesResponse) -> frozenset[PluginCapability]:
    """Those that the answer claims and CSI knows; so those below."""
    names = set()
    for entry in answer.capabilities:
        kind: int = entry.service.type
        if kind in csi.PluginCapability.Service.Type.values():
            names.add(csi.PluginCapability.Service.Type.Name(entry.service.type))
        kind = entry.volume_expansion.type
        if kind in csi.PluginCapability.VolumeExpansion.Type.values():
            names.add(csi.PluginCapability.VolumeExpansion.Type.Name(entry.volume_expansion.type))
    return frozenset(known for known in PluginCapability if known in names)


def controller_capabilities(answer: csi.ControllerGetCapabilitiesResponse) -> frozenset[ControllerCapability]:
    claimed = {int(each.rpc.type) for each in answer.capabilities}
    return frozenset(known for known in ControllerCapability if known.value in claimed)


def group_controller_capabilities(
    answer: csi.GroupControllerGetCapabilitiesResponse,
) -> frozenset[GroupControllerCapability]:
    claimed = {int(each.rpc.type) for each in answer.capabilities}
    return frozenset(known for known in GroupControllerCapability if known.value in claimed)


def node_capabilities(answer: csi.NodeGetCapabilitiesResponse) -> frozenset[NodeCapability]:
    claimed = {int(each.rpc.type) for each in answer.capabilities}
    return frozenset(known for known in NodeCapability if known.value in claimed)
