"""What a request must have before anything is done for it. All raise csi.errors."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Final

from csi import errors
from csi.driver.records import Access
from csi.values import AccessMode
from proto import csi_pb2 as csi

FILE_SYSTEMS: Final = ("ext4", "xfs")
_MAX_NAME_BYTES: Final = 1024
_MAX_MAP_BYTES: Final = 4096  # CSI, "Size Limits"
_MAX_PATH_BYTES: Final = 4095
# CSI, "CreateVolume": control characters but for tab, newline and carriage return
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_MAX_BYTES: Final = 2**62
_GROUP = re.compile("[0-9]{1,9}")


def required(value: str, field: str) -> str:
    """The value of a field that must not be empty."""
    if not value:
        raise errors.InvalidArgument(f"{field} is missing")
    return value


def name(value: str) -> str:
    required(value, "name")
    if _CONTROL.search(value) or len(value.encode()) > _MAX_NAME_BYTES:
        raise errors.InvalidArgument("name: control characters, or longer than 1024 bytes")
    return value


def path(value: str, field: str) -> PurePosixPath:
    """An absolute path that names one place: no `..`, no NUL."""
    required(value, field)
    found = PurePosixPath(value)
    if not found.is_absolute() or ".." in found.parts or "\0" in value or len(value.encode()) > _MAX_PATH_BYTES:
        raise errors.InvalidArgument(f"{field}: {errors.presentable(value)} is no absolute path")
    if found == PurePosixPath("/"):
        raise errors.InvalidArgument(f"{field}: it is the root directory")
    return found


def strings(values: Mapping[str, str], field: str) -> Mapping[str, str]:
    """A map of bounded size."""
    if sum(len(key.encode()) + len(value.encode()) for key, value in values.items()) > _MAX_MAP_BYTES:
        raise errors.InvalidArgument(f"{field}: more than {_MAX_MAP_BYTES} bytes")
    return dict(values)


def access(capability: csi.VolumeCapability) -> Access:
    """One capability: block or mount, a mode, a file system that is known."""
    if capability.WhichOneof("access_type") is None:
        raise errors.InvalidArgument("volume_capability: neither block nor mount")
    mode = int(capability.access_mode.mode)
    if mode not in set(AccessMode):
        raise errors.InvalidArgument("volume_capability: no access mode")
    if capability.mount.fs_type not in ("", *FILE_SYSTEMS):
        raise errors.InvalidArgument(
            f"volume_capability: no file system {errors.presentable(capability.mount.fs_type)[:32]!r}; "
            f"there is {', '.join(FILE_SYSTEMS)}"
        )
    if capability.mount.volume_mount_group and not _GROUP.fullmatch(capability.mount.volume_mount_group):
        raise errors.InvalidArgument("volume_capability: volume_mount_group is no number of a group")
    return Access.of(capability)


def one_access(
    request: csi.NodeStageVolumeRequest | csi.NodePublishVolumeRequest | csi.ControllerPublishVolumeRequest,
) -> Access:
    if not request.HasField("volume_capability"):
        raise errors.InvalidArgument("volume_capability is missing")
    return access(request.volume_capability)


def on_node(request: csi.NodeStageVolumeRequest | csi.NodePublishVolumeRequest, *, claims_groups: bool) -> Access:
    """The access that the node is to give."""
    found = one_access(request)
    if found.group is not None and not claims_groups:
        raise errors.InvalidArgument("volume_capability: VOLUME_MOUNT_GROUP is not claimed")
    return found


def accesses(capabilities: Iterable[csi.VolumeCapability]) -> tuple[Access, ...]:
    found = tuple(access(each) for each in capabilities)
    if not found:
        raise errors.InvalidArgument("volume_capabilities is missing")
    return found


def size(wanted: csi.CapacityRange) -> tuple[int, int]:
    """(required, limit) in bytes; 0: not said."""
    if not 0 <= wanted.required_bytes <= _MAX_BYTES or not wanted.limit_bytes >= 0:
        raise errors.OutOfRange("capacity_range: a size that no volume has")
    if 0 < wanted.limit_bytes < wanted.required_bytes:
        raise errors.OutOfRange("capacity_range: limit_bytes is less than required_bytes")
    return wanted.required_bytes, wanted.limit_bytes
