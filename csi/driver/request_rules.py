"""Rules: what a CreateVolumeRequest asks for. Pure, but for a look at what this machine has. All raise InvalidArgument."""

from collections.abc import Iterable, Mapping
from typing import Final

from csi import errors
from csi.driver import checks
from csi.driver.records import Access, Backing
from proto import csi_pb2 as csi
from runtimes.linux import loop

DEFAULT_BYTES: Final = 1024**3
DEFAULT_FS: Final = "ext4"
_IMAGE_UNIT: Final = 4096
# what a file system with a journal needs; a block device has none
_MIN_IMAGE_BYTES: Final = {"xfs": 300 * 1024**2}
_OTHERS_MIN_BYTES: Final = 8 * 1024**2
# what provisioners add of their own
_FOREIGN_PARAMETERS: Final = "csi.storage.k8s.io/"
_PARAMETERS: Final = {"backing": ("directory", "image")}
# `thick`: the blocks of an image are set aside, so that what is written to it always has room
_MUTABLE: Final = {"allocation": ("thin", "thick")}


def own_parameters(parameters: Mapping[str, str]) -> Mapping[str, str]:
    """Those that are for the driver."""
    own = {key: value for key, value in parameters.items() if not key.startswith(_FOREIGN_PARAMETERS)}
    return _known(own, _PARAMETERS, "parameters")


def mutable_parameters(parameters: Mapping[str, str], backing: Backing) -> Mapping[str, str]:
    """What may be changed later."""
    own = _known(parameters, _MUTABLE, "mutable_parameters")
    if own.get("allocation") == "thick" and backing == "directory":
        raise errors.InvalidArgument("mutable_parameters: a directory has no blocks of its own that could be set aside")
    return own


def _known(given: Mapping[str, str], known: Mapping[str, tuple[str, ...]], field: str) -> Mapping[str, str]:
    given = checks.strings(given, field)
    for key, value in sorted(given.items()):
        if key not in known:
            shown = errors.presentable(key)[:64]
            raise errors.InvalidArgument(f"{field}: {shown!r} is none; there is {', '.join(known)}")
        if value not in known[key]:
            raise errors.InvalidArgument(f"{field}: {key} is {' or '.join(known[key])}")
    return given


def backing_of(parameters: Mapping[str, str], accesses: Iterable[Access]) -> Backing:
    """What a volume is made of: an image where it is to be a device, or to have a certain file system."""
    accesses = tuple(accesses)
    if len({access.block for access in accesses}) > 1:
        raise errors.InvalidArgument("volume_capabilities: a volume is a block device or a file system, not both")
    needed = any(access.block or access.fs_type for access in accesses)
    if needed and parameters.get("backing") == "directory":
        raise errors.InvalidArgument("a directory is no block device and has no file system of its own")
    if not needed and parameters.get("backing") != "image":
        return "directory"
    if not loop.available():
        raise errors.InvalidArgument("this machine has no loop devices: there are directories only")
    return "image"


def fs_type_of(accesses: Iterable[Access]) -> str:
    """Empty: none is asked for."""
    asked = {access.fs_type for access in accesses if access.fs_type}
    if len(asked) > 1:
        raise errors.InvalidArgument(f"volume_capabilities: one file system, not {' and '.join(sorted(asked))}")
    return next(iter(asked), "")


def volume_size(backing: Backing, required: int, limit: int, fs_type: str = "") -> int:
    """The capacity of a volume, in units of its kind. Raises OutOfRange where that is beyond `limit` (0: none)."""
    size = required or min(DEFAULT_BYTES, limit or DEFAULT_BYTES)
    if backing == "image":
        units = -(-required // _IMAGE_UNIT) if required else size // _IMAGE_UNIT
        size = max(_MIN_IMAGE_BYTES.get(fs_type, _OTHERS_MIN_BYTES), units * _IMAGE_UNIT)
    if 0 < limit < size:
        raise errors.OutOfRange(f"the smallest volume that has what is asked for is of {size} bytes")
    return size


def source_of(source: csi.VolumeContentSource) -> tuple[str, str] | None:
    """("snapshot" or "volume", id); None: the volume is to be empty."""
    kind = source.WhichOneof("type")
    if kind is None:
        return None
    identity = source.snapshot.snapshot_id if kind == "snapshot" else source.volume.volume_id
    return kind, checks.required(identity, "volume_content_source")
