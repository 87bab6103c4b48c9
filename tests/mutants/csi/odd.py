"""Drivers that nobody expects and the specification allows. As many as go together are served as one (`TOGETHER`)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from google.protobuf.message import Message
from typing_extensions import override

from csi import errors
from csi.driver import publication
from csi.driver.locks import Locks
from csi.values import AccessMode, ControllerCapability, NodeCapability, mount_capability
from proto import csi_pb2 as csi
from tests.mutants.csi.driver import MEBIBYTE, Odd
from tests.mutants.csi.expand import offline_alone
from tests.mutants.csi.identity import without
from tests.mutants.csi.proof import Subject

_ODD: Final = "ü \"'../%s$(x)\\"
_LATER: Final = 99  # of an enumeration, in a specification after ours


class IdsOfOddBytes(Odd):
    """Ids of volumes have 128 bytes, with blanks, quotes, slashes and letters of many bytes (Size Limits: an opaque string)."""

    @override
    def __getattr__(self, name: str) -> Any:
        call: Callable[[Any], Awaitable[Any]] = getattr(self.healthy, name)

        async def translated(request: Any) -> Any:
            _translate(request, lambda shown: shown.rpartition("☃")[2])
            answer = await call(request)
            if isinstance(answer, Message):  # else it is many, in which there are none
                _translate(answer, lambda own: f"{_ODD}{'x' * (128 - len(f'{_ODD}☃{own}'.encode()))}☃{own}")
            return answer

        return translated


def _translate(message: Any, translation: Callable[[str], str]) -> None:
    """All ids of volumes in a message."""
    for field, value in message.ListFields():
        if field.name in ("volume_id", "source_volume_id"):
            setattr(message, field.name, translation(value))
        elif field.name == "source_volume_ids":
            value[:] = [translation(each) for each in value]
        elif field.message_type and not field.message_type.GetOptions().map_entry:
            for each in [value] if isinstance(value, Message) else value:
                _translate(each, translation)


class CapacityUnknown(Odd):
    """CreateVolume answers capacity_bytes 0: it is not known (Volume.capacity_bytes)."""

    async def create_volume(self, request: Any) -> Any:
        answer = await self.healthy.create_volume(request)
        answer.volume.capacity_bytes = 0
        return answer


class OfALaterSpecification(Odd):
    """All claims have one more, of a number that is not known yet: enumerations grow, and COs read what they know."""

    async def get_plugin_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.get_plugin_capabilities(request)
        answer.capabilities.add(service={"type": _LATER})
        return answer

    async def controller_get_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.controller_get_capabilities(request)
        answer.capabilities.add(rpc={"type": _LATER})
        return answer

    async def node_get_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.node_get_capabilities(request)
        answer.capabilities.add(rpc={"type": _LATER})
        return answer

    async def group_controller_get_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.group_controller_get_capabilities(request)
        answer.capabilities.add(rpc={"type": _LATER})
        return answer


class NoInodes(Odd):
    """NodeGetVolumeStats tells nothing of inodes (VolumeUsage: units are the driver's choice)."""

    async def node_get_volume_stats(self, request: Any) -> Any:
        answer = await self.healthy.node_get_volume_stats(request)
        del answer.usage[1:]
        return answer


class OnlyWhatIsUsed(Odd):
    """NodeGetVolumeStats tells what is used, and neither total nor available (VolumeUsage: both are OPTIONAL)."""

    async def node_get_volume_stats(self, request: Any) -> Any:
        answer = await self.healthy.node_get_volume_stats(request)
        for each in answer.usage:
            each.ClearField("total")
            each.ClearField("available")
        return answer


class PlaceNotTold(Odd):
    """CreateVolume does not say where the volume is, though it was asked for a place (Volume.accessible_topology: OPTIONAL)."""

    async def create_volume(self, request: Any) -> Any:
        answer = await self.healthy.create_volume(request)
        answer.volume.ClearField("accessible_topology")
        return answer


class NodeWithoutAPlace(Odd):
    """VOLUME_ACCESSIBILITY_CONSTRAINTS is claimed, and this node has no topology (NodeGetInfo: OPTIONAL)."""

    async def node_get_info(self, request: Any) -> Any:
        answer = await self.healthy.node_get_info(request)
        answer.ClearField("accessible_topology")
        return answer


class ReadyIsNotTold(Odd):
    """Probe answers without `ready`: then it is (Probe)."""

    async def probe(self, _request: Any) -> Any:
        return csi.ProbeResponse()


class PagesOfOne(Odd):
    """Lists come one at a time whatever is asked for, with a token (ListVolumes: max_entries is the most, not the least)."""

    async def list_volumes(self, request: Any) -> Any:
        request.max_entries = min(1, request.max_entries or 1)
        return await self.healthy.list_volumes(request)

    async def list_snapshots(self, request: Any) -> Any:
        request.max_entries = min(1, request.max_entries or 1)
        return await self.healthy.list_snapshots(request)


class NothingIsStaged(Odd):
    """STAGE_UNSTAGE_VOLUME is not claimed: NodePublishVolume does it all."""

    async def node_get_capabilities(self, request: Any) -> Any:
        return without(await self.healthy.node_get_capabilities(request), NodeCapability.STAGE_UNSTAGE_VOLUME)

    async def node_stage_volume(self, _request: Any) -> Any:
        raise errors.NotSupported("STAGE_UNSTAGE_VOLUME is not claimed")

    async def node_unstage_volume(self, _request: Any) -> Any:
        raise errors.NotSupported("STAGE_UNSTAGE_VOLUME is not claimed")

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.locks = Locks()

    async def node_publish_volume(self, request: Any) -> Any:
        place = self.settings.state_dir / "staged" / request.volume_id
        request.staging_target_path = str(place)
        staging = csi.NodeStageVolumeRequest(volume_id=request.volume_id, staging_target_path=str(place))
        if request.HasField("volume_capability"):
            staging.volume_capability.CopyFrom(request.volume_capability)
        staging.volume_context.update(request.volume_context)
        async with self.locks.of(request.volume_id):
            if request.volume_id and request.target_path:
                place.mkdir(parents=True, exist_ok=True)
                await self.healthy.node_stage_volume(staging)
            try:
                return await self.healthy.node_publish_volume(request)
            except errors.CSIError:
                await self._let_go(request.volume_id)
                raise

    async def node_unpublish_volume(self, request: Any) -> Any:
        async with self.locks.of(request.volume_id):
            answer = await self.healthy.node_unpublish_volume(request)
            await self._let_go(request.volume_id)
        return answer

    async def _let_go(self, volume_id: str) -> None:
        node_volume = self.store.node.of(volume_id)
        if node_volume.staging_path and not publication.live_targets(node_volume):
            await self.healthy.node_unstage_volume(
                csi.NodeUnstageVolumeRequest(volume_id=volume_id, staging_target_path=node_volume.staging_path)
            )


class LargerThanAsked(Odd):
    """A volume has at least 24 MiB, whatever is asked for (CapacityRange: required_bytes is the least)."""

    async def create_volume(self, request: Any) -> Any:
        wanted = request.capacity_range
        if wanted.required_bytes > 0:
            wanted.required_bytes = max(wanted.required_bytes, min(wanted.limit_bytes or 2**62, 24 * MEBIBYTE))
        return await self.healthy.create_volume(request)


class DeletedInUse(Odd):
    """DeleteVolume of a volume in use deletes it (DeleteVolume: FAILED_PRECONDITION is for drivers that cannot)."""

    async def delete_volume(self, request: Any) -> Any:
        node_volume = self.store.node.of(request.volume_id)
        for target in node_volume.targets:
            await self.healthy.node_unpublish_volume(
                csi.NodeUnpublishVolumeRequest(volume_id=request.volume_id, target_path=target)
            )
        if node_volume.staging_path:
            unstage = csi.NodeUnstageVolumeRequest(volume_id=request.volume_id)
            unstage.staging_target_path = node_volume.staging_path
            await self.healthy.node_unstage_volume(unstage)
        return await self.healthy.delete_volume(request)


class GrowsOffline(Odd):
    """OFFLINE expansion alone is claimed, and a published volume does not grow (VolumeExpansion.Type)."""

    async def get_plugin_capabilities(self, request: Any) -> Any:
        return offline_alone(await self.healthy.get_plugin_capabilities(request))

    async def controller_expand_volume(self, request: Any) -> Any:
        if publication.live_targets(self.store.node.of(request.volume_id)):
            raise errors.WrongState("the volume is published")
        return await self.healthy.controller_expand_volume(request)


class SnapshotsTakeTime(Odd):
    """A snapshot is not ready_to_use when it is taken, and is when it is looked at (Snapshot.ready_to_use)."""

    async def create_snapshot(self, request: Any) -> Any:
        answer = await self.healthy.create_snapshot(request)
        answer.snapshot.ready_to_use = False
        return answer


class ContextComesBack(Odd):
    """volume_context is large, and has to come back with each call that has one (Volume.volume_context)."""

    context: Final = {"server ü": "x" * 4000}

    async def create_volume(self, request: Any) -> Any:
        answer = await self.healthy.create_volume(request)
        answer.volume.volume_context.update(self.context)
        return answer

    async def node_stage_volume(self, request: Any) -> Any:
        self._check(request)
        return await self.healthy.node_stage_volume(request)

    async def node_publish_volume(self, request: Any) -> Any:
        self._check(request)
        return await self.healthy.node_publish_volume(request)

    def _check(self, request: Any) -> None:
        if self.store.volumes.get(request.volume_id) and dict(request.volume_context) != self.context:
            raise errors.InvalidArgument("volume_context is not that of the volume")


class AbortsAtFirst(Odd):
    """The first NodePublishVolume of a target is ABORTED: something else is under way for the volume (error scheme)."""

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.met: set[str] = set()

    async def node_publish_volume(self, request: Any) -> Any:
        if request.target_path not in self.met:
            self.met.add(request.target_path)
            raise errors.Pending("an operation is under way for the volume")
        return await self.healthy.node_publish_volume(request)


class ReadsAreSlow(Odd):
    """Lists and single volumes take their time (no call has a deadline in the specification)."""

    async def list_volumes(self, request: Any) -> Any:
        await asyncio.sleep(0.2)
        return await self.healthy.list_volumes(request)

    async def controller_get_volume(self, request: Any) -> Any:
        await asyncio.sleep(0.2)
        return await self.healthy.controller_get_volume(request)


class GoneIsNotFoundToDetach(Odd):
    """ControllerUnpublishVolume of a volume that is not there is NOT_FOUND (error scheme of the call)."""

    async def controller_unpublish_volume(self, request: Any) -> Any:
        if request.volume_id:
            self.store.volumes.known(request.volume_id)
        return await self.healthy.controller_unpublish_volume(request)


class ServesMoreThanItClaims(Odd):
    """Lists, capacity and snapshots are served and not claimed (a driver MUST serve what it claims; not the reverse)."""

    async def controller_get_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.controller_get_capabilities(request)
        served = ("LIST_VOLUMES", "GET_CAPACITY", "CREATE_DELETE_SNAPSHOT", "LIST_SNAPSHOTS", "MODIFY_VOLUME")
        return without(answer, *(ControllerCapability[name] for name in served))


class TheLeast(Odd):
    """Volumes are made, staged and published; nothing else is claimed or served."""

    async def get_plugin_capabilities(self, _request: Any) -> Any:
        return csi.GetPluginCapabilitiesResponse(capabilities=[{"service": {"type": "CONTROLLER_SERVICE"}}])

    async def controller_get_capabilities(self, _request: Any) -> Any:
        return csi.ControllerGetCapabilitiesResponse(capabilities=[{"rpc": {"type": "CREATE_DELETE_VOLUME"}}])

    async def node_get_capabilities(self, _request: Any) -> Any:
        return csi.NodeGetCapabilitiesResponse(capabilities=[{"rpc": {"type": "STAGE_UNSTAGE_VOLUME"}}])

    async def node_get_info(self, _request: Any) -> Any:
        return csi.NodeGetInfoResponse(node_id=self.settings.node_id)

    async def create_volume(self, request: Any) -> Any:
        if request.HasField("volume_content_source"):
            raise errors.InvalidArgument("volumes are made empty")
        answer = await self.healthy.create_volume(request)
        answer.volume.ClearField("accessible_topology")
        return answer

    @override
    def __getattr__(self, name: str) -> Any:
        found = getattr(self.healthy, name)
        served = ("create_volume", "delete_volume", "validate", "get_plugin_info", "probe")
        staged = ("node_stage", "node_unstage", "node_publish", "node_unpublish")
        return found if name.startswith((*served, *staged)) else _not_supported


class NoController(Odd):
    """There is no Controller at all, and one volume that is there (Architecture: a driver of the node alone)."""

    asked = {"volume_id": "static"}

    async def get_plugin_capabilities(self, _request: Any) -> Any:
        return csi.GetPluginCapabilitiesResponse()

    async def node_get_info(self, _request: Any) -> Any:
        return csi.NodeGetInfoResponse(node_id=self.settings.node_id)

    @override
    def __getattr__(self, name: str) -> Any:
        call = getattr(self.healthy, name)

        async def of_the_volume(request: Any) -> Any:
            if getattr(request, "volume_id", "") == "static":
                request.volume_id = await self._volume()
            return await call(request)

        return of_the_volume if name.startswith(("node_", "get_plugin", "probe")) else _not_supported

    async def _volume(self) -> str:
        request = csi.CreateVolumeRequest(
            name="static", volume_capabilities=[mount_capability(AccessMode.SINGLE_NODE_WRITER)]
        )
        identity: str = (await self.healthy.create_volume(request)).volume.volume_id
        return identity


async def _not_supported(_request: Any) -> Any:
    raise errors.NotSupported("it is not claimed")


# form, who is wrapped into whom there, and the cases: none named is the whole suite
TOGETHER: Final[tuple[tuple[str, tuple[type[Odd], ...], tuple[str, ...]], ...]] = (
    (
        "attach",
        (
            *(
                IdsOfOddBytes,
                CapacityUnknown,
                OfALaterSpecification,
                NoInodes,
                PlaceNotTold,
                PagesOfOne,
                ReadyIsNotTold,
            ),
            *(AbortsAtFirst, ReadsAreSlow, GoneIsNotFoundToDetach),
        ),
        (),
    ),
    (
        "directory",
        (
            *(NothingIsStaged, LargerThanAsked, DeletedInUse, SnapshotsTakeTime, GrowsOffline, ContextComesBack),
            *(OnlyWhatIsUsed, NodeWithoutAPlace),
        ),
        (),
    ),
    ("directory", (TheLeast,), ()),
    ("directory", (NoController,), ()),
    ("directory", (ServesMoreThanItClaims,), ("I10", "X1")),  # what is served beyond is asked for by I10 alone
)


def subjects(*, whole: bool) -> list[Subject]:
    """What TOGETHER says, as drivers to be tested; `whole`: each with the whole suite."""
    return [
        Subject(form=form, drivers=tuple(each.__name__ for each in together), cases=() if whole else cases)
        for form, together, cases in TOGETHER
    ]
