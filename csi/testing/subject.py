"""The driver under test with few words: volumes that are made, used and taken away; what is claimed; what is refused."""

import contextlib
import functools
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from csi import errors
from csi.client import Controller, GroupController, Identity, Node, SnapshotMetadata
from csi.testing import leftovers
from csi.testing.implementation import Implementation
from csi.testing.volume import VolumeUnderTest
from csi.values import (
    AccessMode,
    ControllerCapability,
    GroupControllerCapability,
    NodeCapability,
    NodeInfo,
    PluginCapability,
    block_capability,
    mount_capability,
)
from proto import csi_pb2 as csi
from runtimes.linux import mountinfo
from runtimes.linux.tasks import to_the_end

WRITER = AccessMode.SINGLE_NODE_WRITER
Claim = PluginCapability | ControllerCapability | GroupControllerCapability | NodeCapability


@dataclass(kw_only=True)
class Subject:
    """`directory`: the case's own, with staging and target paths below it. `claims`: all that the driver says it can.

    `disks_before`: the machine's (`leftovers.disks`), before the driver was asked for anything.
    """

    implementation: Implementation
    identity: Identity
    node: Node
    controller: Controller
    group_controller: GroupController
    snapshot_metadata: SnapshotMetadata
    claims: frozenset[Claim]
    info: NodeInfo
    directory: Path
    disks_before: Mapping[str, str] = field(default_factory=leftovers.disks)
    volumes: list[VolumeUnderTest] = field(default_factory=list)
    _undo: dict[str, Callable[[], Awaitable[object]]] = field(default_factory=dict)
    _disks_used: dict[str, str] = field(default_factory=dict)
    _paths: int = 0

    def can(self, claim: Claim) -> bool:
        return claim in self.claims

    def needs(self, *claims: Claim) -> None:
        """Skip the case where the driver does not claim one of these."""
        for claim in claims:
            if isinstance(claim, ControllerCapability | GroupControllerCapability) and self.implementation.node_only:
                pytest.skip("not asked for: --csi-node-only")
            if claim not in self.claims:
                pytest.skip(f"not claimed: {claim.name}")

    @contextlib.contextmanager
    def refused(self, *codes: str) -> Iterator[None]:
        """Inside, a call is answered with one of these codes, and says why."""
        try:
            yield
        except errors.CSIError as error:
            assert error.code in codes, f"{error.code} ({error.message}) instead of {' or '.join(codes)}"
            assert error.message != error.code, f"{error.code} without a message"
        else:
            pytest.fail(f"answered OK instead of {' or '.join(codes)}")

    def name(self) -> str:
        return f"csitest-{secrets.token_hex(8)}"

    def capability(
        self, mode: AccessMode = WRITER, *, block: bool = False, flags: tuple[str, ...] = (), group: str = ""
    ) -> csi.VolumeCapability:
        if block:
            return block_capability(mode)
        fs_type = self.implementation.fs_type
        return mount_capability(mode, fs_type=fs_type, mount_flags=flags, mount_group=group)

    # volumes

    def create_request(self, capability: csi.VolumeCapability | None = None) -> csi.CreateVolumeRequest:
        """A new name; the size, the parameters and the topology that everything is made with."""
        request = csi.CreateVolumeRequest(
            name=self.name(),
            volume_capabilities=[capability or self.capability()],
            parameters=self.implementation.parameters,
        )
        request.capacity_range.required_bytes = self.implementation.volume_bytes
        if self.info.topology and self.can(PluginCapability.VOLUME_ACCESSIBILITY_CONSTRAINTS):
            for topologies in (
                request.accessibility_requirements.requisite,
                request.accessibility_requirements.preferred,
            ):
                topologies.add(segments=self.info.topology)
        return request

    async def create(self, request: csi.CreateVolumeRequest) -> VolumeUnderTest:
        """Make a volume; at the end of the case it is deleted, if it has not been before.

        A case that is cancelled waits for the answer: what nobody has been told of, nobody would delete.
        """
        return await to_the_end(self._create(request))

    async def _create(self, request: csi.CreateVolumeRequest) -> VolumeUnderTest:
        made = (await self.controller.create_volume(request)).volume
        assert made.volume_id, "CreateVolume answered no volume_id"
        volume = VolumeUnderTest(
            volume_id=made.volume_id,
            capability=request.volume_capabilities[0],
            capacity_bytes=made.capacity_bytes,
            context=dict(made.volume_context),
        )
        if not any(each.volume_id == volume.volume_id for each in self.volumes):
            self.volumes.append(volume)
            self._undo[volume.volume_id] = functools.partial(self.delete, volume)
        return volume

    async def volume(self, capability: csi.VolumeCapability | None = None) -> VolumeUnderTest:
        """A volume to use: a new one, or that of --csi-volume-id. Skips where there can be none."""
        if self.implementation.node_only or not self.can(ControllerCapability.CREATE_DELETE_VOLUME):
            if not self.implementation.volume_id:
                pytest.skip("no volume: name one that is there (--csi-volume-id)")
            volume = VolumeUnderTest(
                volume_id=self.implementation.volume_id,
                capability=capability or self.capability(),
                context=dict(self.implementation.volume_context),
                made=False,
            )
            self.volumes.append(volume)
            return volume
        return await self.create(self.create_request(capability))

    async def block_volume(self) -> VolumeUnderTest:
        """Skips where the driver has no block devices. One that was named is a file system."""
        if self.implementation.node_only or not self.can(ControllerCapability.CREATE_DELETE_VOLUME):
            pytest.skip("no block device: none can be made")
        try:
            return await self.volume(self.capability(block=True))
        except errors.Final as error:
            pytest.skip(f"no block devices: {error}")

    async def delete(self, volume: VolumeUnderTest) -> None:
        await self.controller.delete_volume(csi.DeleteVolumeRequest(volume_id=volume.volume_id))
        self.volumes = [each for each in self.volumes if each.volume_id != volume.volume_id]
        self._undo.pop(volume.volume_id, None)

    # on the node

    def path(self) -> Path:
        """A target path, not there, whose parent is."""
        self._paths += 1
        parent = self.directory / "pods" / str(self._paths)
        parent.mkdir(parents=True, mode=0o750)
        return parent / "mount"

    def staging_path(self) -> Path:
        """A directory to stage at, which is there."""
        self._paths += 1
        path = self.directory / "staging" / str(self._paths)
        path.mkdir(parents=True, mode=0o750)
        return path

    async def attach(self, volume: VolumeUnderTest, *, readonly: bool = False) -> None:
        """Where the driver claims that volumes are attached."""
        if (
            not self.can(ControllerCapability.PUBLISH_UNPUBLISH_VOLUME)
            or self.implementation.node_only
            or volume.attached
        ):
            return
        answer = await self.controller.publish_volume(self.attach_request(volume, readonly=readonly))
        volume.attached, volume.publish_context = True, dict(answer.publish_context)

    def attach_request(self, volume: VolumeUnderTest, *, readonly: bool = False) -> csi.ControllerPublishVolumeRequest:
        return csi.ControllerPublishVolumeRequest(
            volume_id=volume.volume_id,
            node_id=self.info.node_id,
            volume_capability=volume.capability,
            readonly=readonly,
            volume_context=volume.context,
        )

    async def detach(self, volume: VolumeUnderTest) -> None:
        if volume.attached:
            await self.controller.unpublish_volume(
                csi.ControllerUnpublishVolumeRequest(volume_id=volume.volume_id, node_id=self.info.node_id)
            )
            volume.attached = False

    def stage_request(self, volume: VolumeUnderTest, path: Path) -> csi.NodeStageVolumeRequest:
        return csi.NodeStageVolumeRequest(
            volume_id=volume.volume_id,
            staging_target_path=str(path),
            volume_capability=volume.capability,
            volume_context=volume.context,
            publish_context=volume.publish_context,
        )

    async def stage(self, volume: VolumeUnderTest) -> None:
        """Attached and staged, where the driver claims these."""
        await self.attach(volume)
        if self.can(NodeCapability.STAGE_UNSTAGE_VOLUME) and volume.staging is None:
            volume.staging = self.staging_path()
            await self.node.stage_volume(self.stage_request(volume, volume.staging))
            self._note_disk(volume, volume.staging)

    def publish_request(
        self, volume: VolumeUnderTest, target: Path, *, readonly: bool = False
    ) -> csi.NodePublishVolumeRequest:
        return csi.NodePublishVolumeRequest(
            volume_id=volume.volume_id,
            target_path=str(target),
            staging_target_path=str(volume.staging) if volume.staging else "",
            volume_capability=volume.capability,
            readonly=readonly,
            volume_context=volume.context,
            publish_context=volume.publish_context,
        )

    async def publish(self, volume: VolumeUnderTest, *, readonly: bool = False) -> Path:
        """Staged first, where that is due; returns the target."""
        await self.stage(volume)
        target = self.path()
        volume.targets.append(target)
        await self.node.publish_volume(self.publish_request(volume, target, readonly=readonly))
        self._note_disk(volume, target)
        return target

    async def unpublish(self, volume: VolumeUnderTest, target: Path) -> None:
        await self.node.unpublish_volume(
            csi.NodeUnpublishVolumeRequest(volume_id=volume.volume_id, target_path=str(target))
        )
        if target in volume.targets:
            volume.targets.remove(target)

    async def unstage(self, volume: VolumeUnderTest) -> None:
        if volume.staging is not None:
            await self.node.unstage_volume(
                csi.NodeUnstageVolumeRequest(volume_id=volume.volume_id, staging_target_path=str(volume.staging))
            )
            volume.staging = None

    async def take_down(self, volume: VolumeUnderTest) -> None:
        """Not in use any more: unpublished everywhere, unstaged, detached."""
        for target in list(volume.targets):
            await self.unpublish(volume, target)
        await self.unstage(volume)
        await self.detach(volume)

    def _note_disk(self, volume: VolumeUnderTest, path: Path) -> None:
        """Of what the driver has made for the volume: at the end of the case it is gone, or another one."""
        found = leftovers.disk_of(path) if volume.made else None
        if found is not None and self.disks_before.get(found[0]) != found[1]:
            self._disks_used.update([found])

    def depth(self, path: Path) -> int:
        """How many mounts are stacked there."""
        return sum(entry.point == str(path) for entry in mountinfo.read_mounts())

    # snapshots

    async def snapshot(self, volume: VolumeUnderTest, name: str = "") -> csi.Snapshot:
        """Taken, and at the end of the case deleted."""
        return await to_the_end(self._snapshot(volume, name))

    async def _snapshot(self, volume: VolumeUnderTest, name: str) -> csi.Snapshot:
        answer = await self.controller.create_snapshot(
            csi.CreateSnapshotRequest(name=name or self.name(), source_volume_id=volume.volume_id)
        )
        delete = csi.DeleteSnapshotRequest(snapshot_id=answer.snapshot.snapshot_id)
        self._undo.setdefault(delete.snapshot_id, functools.partial(self.controller.delete_snapshot, delete))
        return answer.snapshot

    async def group(self, *volumes: VolumeUnderTest, name: str = "") -> csi.VolumeGroupSnapshot:
        """Taken together, and at the end of the case deleted."""
        return await to_the_end(self._group(*volumes, name=name))

    async def _group(self, *volumes: VolumeUnderTest, name: str) -> csi.VolumeGroupSnapshot:
        answer = await self.group_controller.create_snapshot(
            csi.CreateVolumeGroupSnapshotRequest(
                name=name or self.name(), source_volume_ids=[each.volume_id for each in volumes]
            )
        )
        delete = csi.DeleteVolumeGroupSnapshotRequest(group_snapshot_id=answer.group_snapshot.group_snapshot_id)
        self._undo.setdefault(
            delete.group_snapshot_id, functools.partial(self.group_controller.delete_snapshot, delete)
        )
        return answer.group_snapshot

    # the end

    async def clean_up(self) -> list[str]:
        """Take away all that the case has made, what was made last first; returns what went wrong, or has stayed.

        A snapshot may need the volume that it was taken of, and a volume the snapshot that it was made of.
        """
        wrong = []
        for volume in reversed(list(self.volumes)):
            try:
                await self.take_down(volume)
            except (errors.CSIError, OSError) as error:
                wrong.append(f"clean-up of {volume.volume_id}: {error}")
        for identity, delete in reversed(list(self._undo.items())):
            try:
                await delete()
                self._undo.pop(identity, None)
            except errors.CSIError as error:
                wrong.append(f"clean-up of {identity}: {error}")
        wrong += leftovers.left_below(self.directory)
        return wrong or await leftovers.left_disks(self._disks_used)
