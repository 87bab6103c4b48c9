"""The volume contract: what a volume type does on this node, for one pod and for all that share a volume.

    resolve ─> attach ─> stage ─> publish ─> expand      before a pod's containers are made
                                  publish,   expand      while it runs (Capabilities.republish, a claim that grew)
               unstage <───────── unpublish              when they are gone

The words are CSI's (NodeStageVolume, NodePublishVolume, ...). A volume that pods share is staged once on the node and published
for each of them; most types have nothing to stage (`publish_only.PublishOnly`). One file implements a type; the volume manager
is the only caller. Deadlines are the plugin's: a verb that hangs holds up its pod, and nobody else's volumes.

All verbs are repeatable: the agent may be killed at any point and calls again, knowing only what is on disk. A cancelled or
failed verb may have done its work or half of it; it is then called again, or undone by its counterpart.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lightkube.models.core_v1 import PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec, Volume

from nodeagent.podspec.pod import AgentPod


class VolumeError(Exception):
    """A volume cannot be set up or taken down now; trying again may help. The text is for the pod's owner."""


class UnsupportedVolume(VolumeError):
    """This node can never mount the volume as it is declared."""


class NotYet(VolumeError):
    """Something has to come first that this node will hear of. `came` is set then: it is time to try again."""

    def __init__(self, text: str, came: asyncio.Event) -> None:
        super().__init__(text)
        self.came = came


class NodeFull(VolumeError):
    """As many volumes are attached to this node as can be: another node may do for the pod."""


class SizeInfeasible(VolumeError):
    """A volume cannot grow to what is asked, now or later: its claim's owner has to ask for something else."""


class CannotGrowInUse(VolumeError):
    """A volume does not grow while it is used: it is not asked to again before it is published anew, and its pod goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSource:
    """What a pod's volume is, with its references followed.

    `volume`: as the pod declares it. `claim`, `persistent_volume`: what it leads to, where it is a claim; None: the declaration
    says all. `expand_to_bytes`: the size that the claim's volume is to have on this node; None: it has it.
    """

    volume: Volume
    claim: PersistentVolumeClaim | None = None
    persistent_volume: PersistentVolume | None = None
    expand_to_bytes: int | None = None

    @property
    def name(self) -> str:
        """That of the PersistentVolume, else of the pod's volume: the name of its directory, and in events."""
        if self.persistent_volume is not None and self.persistent_volume.metadata is not None:
            return self.persistent_volume.metadata.name or ""
        return self.volume.name

    @property
    def persistent_spec(self) -> PersistentVolumeSpec | None:
        """That of the PersistentVolume."""
        return self.persistent_volume.spec if self.persistent_volume is not None else None

    @property
    def read_only(self) -> bool:
        """Of a claim: the pod's volume says so. What the claim or the PersistentVolume may be used for does not count."""
        claim = self.volume.persistentVolumeClaim
        return claim is not None and bool(claim.readOnly)

    @property
    def block(self) -> bool:
        """It is a raw block device (volumeMode Block), not a file system."""
        spec = self.persistent_spec
        return spec is not None and spec.volumeMode == "Block"

    @property
    def mount_options(self) -> tuple[str, ...]:
        """Those of the PersistentVolume."""
        spec = self.persistent_spec
        return tuple((spec.mountOptions if spec is not None else None) or ())

    @property
    def access_modes(self) -> tuple[str, ...]:
        """Those of the PersistentVolume; empty: there is none, or it does not say."""
        spec = self.persistent_spec
        return tuple((spec.accessModes if spec is not None else None) or ())


class SourceResolver(Protocol):
    """Follows the references of the volumes that it knows; of all others, the pod's declaration is the source."""

    def follows(self, volume: Volume) -> bool:
        """Whether the declaration refers to something that this resolver knows. From memory; raises nothing."""
        ...

    async def resolve(self, pod: AgentPod, volume: Volume) -> VolumeSource:
        """Asked again at every attempt to mount, and for what may grow at every sync. May wait for the API.

        Raises VolumeError with what is wrong with the reference: tried again; the pod's event lists the volume under "failed to
        process volumes".
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRequest:
    """One volume of one pod, as its plugin needs it.

    `fs_group`: the pod's fsGroup. `on_root_mismatch`: a volume whose root shows the group already is not walked again
    (fsGroupChangePolicy; for what claims lead to). `fs_user`: the user that every container of the pod runs as, None when they
    differ or do not say. `nested`: relative paths inside the volume on which other volumes of a container are mounted.
    """

    pod: AgentPod
    source: VolumeSource
    fs_group: int | None = None
    on_root_mismatch: bool = False
    fs_user: int | None = None
    nested: tuple[str, ...] = ()

    @property
    def volume(self) -> Volume:
        """The volume as the pod declares it."""
        return self.source.volume

    @property
    def directory_name(self) -> str:
        """Below `pods/<uid>/volumes/<plugin>`: by this and the UID `unpublish` knows the volume."""
        return self.source.name


@dataclass(frozen=True, slots=True, kw_only=True)
class MountedVolume:
    """A volume that is ready to be bound into containers.

    `host_path`: directory, file or device node on the host; of a block device the pod's link to it (`device_link`).
    `directory_name`: its name under `volume-subpaths`. `read_only_forced`: every container sees it read-only, whatever its
    volumeMount says. `relabel`: the runtime may relabel it for SELinux. `block`: it is a device, not a file system.
    `supplemental_groups`: groups that the pod's processes need for it. `global_map_path`: of a block device, the directory that
    all pods' entries of it are in; events name it.
    """

    host_path: Path
    directory_name: str
    read_only_forced: bool = False
    relabel: bool = False
    block: bool = False
    supplemental_groups: tuple[int, ...] = ()
    global_map_path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeUsage:
    """What a volume has and what is used of it. Of a block device the capacity alone is known.

    `abnormal`: whether something is wrong with it, as `condition` says; None: nobody knows.
    `claim`: the name of the claim that led to it, which the volume manager adds; empty: none did.
    """

    capacity_bytes: int
    available_bytes: int | None = None
    used_bytes: int | None = None
    inodes: int | None = None
    inodes_free: int | None = None
    inodes_used: int | None = None
    abnormal: bool | None = None
    condition: str = ""
    claim: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Which of the optional verbs are called for a volume.

    `republish`: `publish` is repeated on the live volume, at every sync of its pod and when objects that it is made of change.
    `attach`: it comes from elsewhere, and a controller has to attach it first. `stage`: it is staged, node-wide, before it is
    published. `expand`: it can grow while it is used.
    """

    republish: bool = False
    attach: bool = False
    stage: bool = False
    expand: bool = False

    @property
    def node_wide(self) -> bool:
        """Pods share it: it has an id, and it is remembered on disk for whose sake it is here. So is every PersistentVolume."""
        return self.attach or self.stage


class VolumePlugin(Protocol):
    """One volume type, or one kind of driver.

    `attach`, `stage`, `publish` and `expand` run concurrently for different volumes, never for the same volume of the same pod,
    and for a node-wide volume only for one pod at a time (`attach` excepted).
    """

    @property
    def name(self) -> str:
        """The plugin's name, as in `kubernetes.io/empty-dir`; its directory has `~` for `/`."""
        ...

    def supports(self, source: VolumeSource) -> bool:
        """Whether the source is of this type. The first plugin that says so gets the volume. Raises nothing."""
        ...

    def capabilities(self, source: VolumeSource) -> Capabilities:
        """Which optional verbs the source needs. From memory, as it is asked at every sync; raises nothing."""
        ...

    def volume_id(self, source: VolumeSource) -> str:
        """The node-wide name of a volume that `capabilities` says is one, and of every PersistentVolume: as in
        node.status.volumesInUse. Never changes; raises nothing.
        """
        ...

    async def attach(self, request: VolumeRequest) -> None:
        """Wait until the volume is attached to this node; whoever attaches it has been told that it is in use here.

        Called before every `stage`, at each attempt. Cancelled when the pod has waited long enough. Raises NodeFull, VolumeError.
        """
        ...

    async def stage(self, request: VolumeRequest) -> None:
        """Make the volume ready on the node, for all pods. Called before every `publish`, for each pod, staged or not.

        What it leaves survives the agent, and has to tell `unstage` all that it needs. Raises VolumeError.
        """
        ...

    async def unstage(self, volume_id: str) -> None:
        """Undo `stage`, or half of it. Called when the last pod that it was here for has unpublished it, until it succeeds.

        Nothing there is fine. Raises VolumeError.
        """
        ...

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        """Make the volume ready for one pod, below `pods/<uid>/volumes`, a block device below `volumeDevices`.

        Repeatable on a live volume (an agent that starts again, `republish`), which a failure leaves as it was. Raises
        VolumeError.
        """
        ...

    async def unpublish(self, uid: str, directory_name: str) -> None:
        """Undo `publish`, or half of it, knowing only what the disk tells, until it succeeds; subPaths are unmounted by then.

        Nothing there is fine. What cannot be unmounted is left whole. Raises VolumeError.
        """
        ...

    async def expand(self, request: VolumeRequest) -> None:
        """Let a published volume grow to `request.source.expand_to_bytes`, at least; one that is as large already is fine.

        Called after `publish`, and at syncs of the pod as long as the source asks for it; the claim's status is the caller's.
        Raises SizeInfeasible, CannotGrowInUse, VolumeError.
        """
        ...

    async def usage(self, volume: MountedVolume) -> VolumeUsage | None:
        """What is used of a published volume; None: it is not measured. Concurrent with everything. Raises VolumeError."""
        ...


class PluginFamily(Protocol):
    """Types of one kind that come and go while the agent runs, as drivers are installed on the host."""

    def members(self) -> Sequence[VolumePlugin]:
        """Those of this moment. From memory; raises nothing."""
        ...
