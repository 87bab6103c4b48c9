"""What the driver remembers of volumes, snapshots and mounts: values, and their form on the disk."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from csi.values import AccessMode
from proto import csi_pb2 as csi

Backing = Literal["directory", "image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A VolumeCapability that has been checked. `flags`: mount options, in their order. `group`: whose the files are to be."""

    mode: AccessMode
    block: bool = False
    fs_type: str = ""
    flags: tuple[str, ...] = ()
    group: int | None = None

    @classmethod
    def of(cls, capability: csi.VolumeCapability) -> "Access":
        group = capability.mount.volume_mount_group
        return cls(
            mode=AccessMode(capability.access_mode.mode),
            block=capability.HasField("block"),
            fs_type=capability.mount.fs_type,
            flags=tuple(capability.mount.mount_flags),
            group=int(group) if group else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """`source`: ("snapshot" or "volume", id) where it began as a copy. `attached`: node id -> read-only.

    `fs_type`: of the file system in an image; empty: there is none. `fs_behind`: it may be smaller than the image.
    `parameters` are for ever, `mutable` as they are now.
    """

    volume_id: str
    name: str
    capacity_bytes: int
    backing: Backing
    block: bool = False
    fs_type: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    mutable: Mapping[str, str] = field(default_factory=dict)
    source: tuple[str, str] | None = None
    attached: Mapping[str, bool] = field(default_factory=dict)
    fs_behind: bool = False

    @property
    def id(self) -> str:
        return self.volume_id

    @property
    def thick(self) -> bool:
        return self.mutable.get("allocation") == "thick"

    def was_made_as(self, wanted: "Volume") -> bool:
        """Whether the request that asks for `wanted` may be the one by which this was made: whatever has become of it since."""
        made = replace(self, volume_id="", capacity_bytes=0, attached={}, fs_behind=False, mutable={})
        return made == replace(wanted, mutable={}, fs_type=wanted.fs_type or self.fs_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """`size_bytes`: the capacity that its volume had. `created_ns`: since the epoch. `group_id` empty: it is of no group."""

    snapshot_id: str
    name: str
    source_volume_id: str
    size_bytes: int
    created_ns: int
    backing: Backing
    block: bool = False
    fs_type: str = ""
    group_id: str = ""

    @property
    def id(self) -> str:
        return self.snapshot_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Snapshots of several volumes, of one moment: there once this record is, and not any more without it."""

    group_id: str
    name: str
    snapshot_ids: tuple[str, ...]
    created_ns: int

    @property
    def id(self) -> str:
        return self.group_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How a volume is, or is to be, published at a path."""

    access: Access
    readonly: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeVolume:
    """Where a volume is on this node, or is about to be: written before anything is mounted, so that the mount table is never
    ahead of it.

    `staging_path` empty: not staged. `targets`: path -> how.
    """

    volume_id: str
    staging_path: str = ""
    staged: Access | None = None
    targets: Mapping[str, Target] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.volume_id

    @property
    def empty(self) -> bool:
        return not self.staging_path and not self.targets
