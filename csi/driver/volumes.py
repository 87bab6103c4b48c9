"""The Controller service, for volumes: made, found, grown and deleted."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from csi import errors
from csi.driver import checks, contents, growth, publication, request_rules
from csi.driver.copies import Copies
from csi.driver.locks import Locks
from csi.driver.pages import page
from csi.driver.records import NodeVolume, Volume
from csi.driver.settings import Settings
from csi.driver.store import Store
from proto import csi_pb2 as csi
from runtimes.linux.tasks import run_blocking

_MAX_VOLUMES: Final = 10_000


class VolumeService:
    """`locks`: by volume id, shared with the node's side; by "name NAME" for what is to be made."""

    def __init__(self, settings: Settings, store: Store, locks: Locks, copies: Copies) -> None:
        self._settings = settings
        self._store = store
        self._locks = locks
        self._copies = copies
        self._set_aside = 0  # bytes, for what is being made

    async def create_volume(self, request: csi.CreateVolumeRequest) -> csi.CreateVolumeResponse:
        name = checks.name(request.name)
        accesses = checks.accesses(request.volume_capabilities)
        parameters = request_rules.own_parameters(request.parameters)
        backing = request_rules.backing_of(parameters, accesses)
        mutable = request_rules.mutable_parameters(request.mutable_parameters, backing)
        required, limit = checks.size(request.capacity_range)
        self._check_topology(request.accessibility_requirements)
        wanted = Volume(
            volume_id="",
            name=name,
            capacity_bytes=0,
            backing=backing,
            block=accesses[0].block,
            fs_type=request_rules.fs_type_of(accesses),
            parameters=parameters,
            mutable=mutable,
            source=request_rules.source_of(request.volume_content_source),
        )
        async with self._locks.of(f"name {name}"):
            if (existing := self._store.volumes.named(name)) is None:
                existing = await self._make(wanted, required, limit)
            elif not existing.was_made_as(wanted):
                raise errors.AlreadyExists("a volume of that name was made in another way")
            elif existing.capacity_bytes < required or 0 < limit < existing.capacity_bytes:
                raise errors.AlreadyExists(f"a volume of that name has {existing.capacity_bytes} bytes")
        return csi.CreateVolumeResponse(volume=self._message(existing))

    async def _make(self, wanted: Volume, required: int, limit: int) -> Volume:
        origin = self._copies.origin(wanted)
        fs_type = wanted.fs_type or (origin.fs_type if origin else "") or request_rules.DEFAULT_FS
        wanted = replace(wanted, fs_type=fs_type if wanted.backing == "image" and not wanted.block else "")
        least = max(required, origin.size_bytes if origin and not required else 0)
        size = request_rules.volume_size(wanted.backing, least, limit, wanted.fs_type)
        if origin is not None and size < origin.size_bytes:
            raise errors.OutOfRange(f"the source has {origin.size_bytes} bytes")
        volume = replace(wanted, volume_id=self._store.volumes.new_id(), capacity_bytes=size)
        with self._room(size):
            async with self._store.volumes.draft() as draft:
                if origin is None:
                    await contents.make(draft, volume.backing, fs_type=volume.fs_type, size=size)
                else:
                    await self._copies.copy(origin, draft, size=size)
                    volume = replace(volume, fs_behind=bool(volume.fs_type))
                if volume.thick:
                    await run_blocking(contents.allocate, contents.image(draft), size)
                await run_blocking(self._store.volumes.add, volume, draft)
        return volume

    async def delete_volume(self, request: csi.DeleteVolumeRequest) -> csi.DeleteVolumeResponse:
        checks.required(request.volume_id, "volume_id")
        async with self._locks.of(request.volume_id):
            if (volume := self._store.volumes.get(request.volume_id)) is not None:
                await run_blocking(self._delete, volume)
        return csi.DeleteVolumeResponse()

    def _delete(self, volume: Volume) -> None:
        node_volume = self._store.node.of(volume.id)
        attached = self._settings.attach and volume.attached
        if attached or publication.live_targets(node_volume) or publication.is_staged(node_volume):
            raise errors.WrongState("the volume is in use")
        if volume.backing == "image":
            for readonly in (False, True):
                publication.release_devices(self._store.volumes.place(volume), readonly=readonly)
        self._store.node.keep(NodeVolume(volume_id=volume.id))
        self._store.volumes.remove(volume)

    async def validate_volume_capabilities(
        self, request: csi.ValidateVolumeCapabilitiesRequest
    ) -> csi.ValidateVolumeCapabilitiesResponse:
        checks.required(request.volume_id, "volume_id")
        if not request.volume_capabilities:
            raise errors.InvalidArgument("volume_capabilities is missing")
        volume = self._store.volumes.known(request.volume_id)
        answer = csi.ValidateVolumeCapabilitiesResponse()
        try:
            for access in checks.accesses(request.volume_capabilities):
                publication.check_options(volume, access)
            if dict(request_rules.own_parameters(request.parameters)) not in ({}, dict(volume.parameters)):
                raise errors.InvalidArgument("parameters: the volume was made with others")
        except errors.CSIError as error:
            answer.message = error.message
            return answer
        answer.confirmed.volume_capabilities.extend(request.volume_capabilities)
        answer.confirmed.volume_context.update(request.volume_context)
        answer.confirmed.parameters.update(request.parameters)
        return answer

    async def list_volumes(self, request: csi.ListVolumesRequest) -> csi.ListVolumesResponse:
        volumes, token = page(self._store.volumes.all(), request.max_entries, request.starting_token)
        answer = csi.ListVolumesResponse(next_token=token)
        for volume in volumes:
            entry = answer.entries.add(volume=self._message(volume))
            entry.status.published_node_ids.extend(volume.attached)
            entry.status.volume_condition.CopyFrom(
                contents.condition(self._store.volumes.place(volume), volume.backing)
            )
        return answer

    async def controller_get_volume(self, request: csi.ControllerGetVolumeRequest) -> csi.ControllerGetVolumeResponse:
        volume = self._store.volumes.known(checks.required(request.volume_id, "volume_id"))
        answer = csi.ControllerGetVolumeResponse(volume=self._message(volume))
        answer.status.published_node_ids.extend(volume.attached)
        answer.status.volume_condition.CopyFrom(contents.condition(self._store.volumes.place(volume), volume.backing))
        return answer

    async def get_capacity(self, request: csi.GetCapacityRequest) -> csi.GetCapacityResponse:
        answer = csi.GetCapacityResponse()
        try:
            accesses = [checks.access(each) for each in request.volume_capabilities]
            backing = request_rules.backing_of(request_rules.own_parameters(request.parameters), accesses)
            least = request_rules.volume_size(backing, 1, 0, request_rules.fs_type_of(accesses))
        except errors.InvalidArgument:  # of such volumes there is no room for any
            return answer
        if request.HasField("accessible_topology") and not self._is_here(request.accessible_topology):
            return answer
        answer.available_capacity = self._available()
        answer.maximum_volume_size.value = answer.available_capacity
        answer.minimum_volume_size.value = least
        return answer

    async def controller_expand_volume(
        self, request: csi.ControllerExpandVolumeRequest
    ) -> csi.ControllerExpandVolumeResponse:
        checks.required(request.volume_id, "volume_id")
        if not request.HasField("capacity_range"):
            raise errors.InvalidArgument("capacity_range is missing")
        required, limit = checks.size(request.capacity_range)
        async with self._locks.of(request.volume_id):
            volume = self._store.volumes.known(request.volume_id)
            if required > volume.capacity_bytes:
                volume = await self._grow(
                    volume, request_rules.volume_size(volume.backing, required, limit, volume.fs_type)
                )
            elif 0 < limit < volume.capacity_bytes:
                raise errors.OutOfRange(f"the volume has {volume.capacity_bytes} bytes")
        return csi.ControllerExpandVolumeResponse(
            capacity_bytes=volume.capacity_bytes, node_expansion_required=volume.backing == "image"
        )

    async def _grow(self, volume: Volume, size: int) -> Volume:
        if not growth.can_grow_mounted(volume.fs_type) and publication.live_targets(self._store.node.of(volume.id)):
            raise errors.WrongState(f"the volume is published, and {volume.fs_type} cannot grow then on this machine")
        grown = replace(volume, capacity_bytes=size, fs_behind=bool(volume.fs_type))
        with self._room(size - volume.capacity_bytes):
            if volume.backing == "image":
                image = contents.image(self._store.volumes.place(volume))
                await run_blocking(contents.grow, image, size)
                if volume.thick:
                    await run_blocking(contents.allocate, image, size)
            await run_blocking(self._store.volumes.update, grown)
        return grown

    async def controller_modify_volume(
        self, request: csi.ControllerModifyVolumeRequest
    ) -> csi.ControllerModifyVolumeResponse:
        checks.required(request.volume_id, "volume_id")
        async with self._locks.of(request.volume_id):
            volume = self._store.volumes.known(request.volume_id)
            mutable = request_rules.mutable_parameters(request.mutable_parameters, volume.backing)
            modified = replace(volume, mutable={**volume.mutable, **mutable})
            if modified.thick:
                image = contents.image(self._store.volumes.place(volume))
                await run_blocking(contents.allocate, image, volume.capacity_bytes)
            await run_blocking(self._store.volumes.update, modified)
        return csi.ControllerModifyVolumeResponse()

    def _message(self, volume: Volume) -> csi.Volume:
        answer = csi.Volume(volume_id=volume.id, capacity_bytes=volume.capacity_bytes)
        answer.accessible_topology.add(segments=self._settings.topology)
        if volume.source is not None:
            kind, identity = volume.source
            if kind == "snapshot":
                answer.content_source.snapshot.snapshot_id = identity
            else:
                answer.content_source.volume.volume_id = identity
        return answer

    def _check_topology(self, wanted: csi.TopologyRequirement) -> None:
        asked = wanted.requisite or wanted.preferred
        if asked and not any(self._is_here(each) for each in asked):
            raise errors.Exhausted("none of the topologies asked for is that of this driver")

    def _is_here(self, topology: csi.Topology) -> bool:
        return all(self._settings.topology.get(key) == value for key, value in topology.segments.items())

    @contextlib.contextmanager
    def _room(self, size: int) -> Iterator[None]:
        """So many bytes are set aside, until they are those of a volume. Raises OutOfRange, Exhausted."""
        if len(self._store.volumes.all()) >= _MAX_VOLUMES:
            raise errors.Exhausted(f"there are {_MAX_VOLUMES} volumes already")
        if size > self._total():
            raise errors.OutOfRange(f"{size} bytes are more than all there are ({self._total()})")
        if size > self._available():
            raise errors.Exhausted(f"{size} bytes are asked for, {self._available()} are left")
        self._set_aside += size
        try:
            yield
        finally:
            self._set_aside -= size

    def _total(self) -> int:
        if self._settings.capacity_bytes:
            return self._settings.capacity_bytes
        found = os.statvfs(self._settings.state_dir)
        return found.f_blocks * found.f_frsize

    def _available(self) -> int:
        promised = sum(volume.capacity_bytes for volume in self._store.volumes.all())
        return max(0, self._total() - promised - self._set_aside)
