"""A driver, seen from a node agent, a provisioner or a tester: its four services on one socket.

Calls take the messages of CSI and may be repeated: whoever was cut off or killed calls again. What a driver can do is asked when
it matters, and never remembered: it may be another version by the next call (docs/facts/storage.md 10.3).
"""

from collections.abc import AsyncIterator
from typing import Self

from csi import values
from csi.call import Call, Service, Stream
from csi.endpoint import DEADLINE_SECONDS, Endpoint
from csi.errors import BadAnswer
from csi.values import (
    ControllerCapability,
    GroupControllerCapability,
    NodeCapability,
    NodeInfo,
    Plugin,
    PluginCapability,
    VolumeStats,
)
from proto import csi_pb2 as csi


class Identity(Service):
    """Who the driver is, and whether it is ready."""

    get_plugin_info = Call(csi.GetPluginInfoRequest, csi.GetPluginInfoResponse)
    get_plugin_capabilities = Call(csi.GetPluginCapabilitiesRequest, csi.GetPluginCapabilitiesResponse)
    probe = Call(csi.ProbeRequest, csi.ProbeResponse)

    async def plugin(self) -> Plugin:
        """Raises CSIError; BadAnswer for a name that is none."""
        return Plugin.of(await self.get_plugin_info(csi.GetPluginInfoRequest()))

    async def capabilities(self) -> frozenset[PluginCapability]:
        """Raises CSIError."""
        return values.plugin_capabilities(await self.get_plugin_capabilities(csi.GetPluginCapabilitiesRequest()))

    async def ready(self) -> bool:
        """A driver that does not say is ready. Raises CSIError; WrongState where something is missing that it needs."""
        answer = await self.probe(csi.ProbeRequest())
        return answer.ready.value if answer.HasField("ready") else True


class Node(Service):
    """What a driver does on its own node."""

    stage_volume = Call(csi.NodeStageVolumeRequest, csi.NodeStageVolumeResponse)
    unstage_volume = Call(csi.NodeUnstageVolumeRequest, csi.NodeUnstageVolumeResponse)
    publish_volume = Call(csi.NodePublishVolumeRequest, csi.NodePublishVolumeResponse)
    unpublish_volume = Call(csi.NodeUnpublishVolumeRequest, csi.NodeUnpublishVolumeResponse)
    get_volume_stats = Call(csi.NodeGetVolumeStatsRequest, csi.NodeGetVolumeStatsResponse)
    expand_volume = Call(csi.NodeExpandVolumeRequest, csi.NodeExpandVolumeResponse)
    get_capabilities = Call(csi.NodeGetCapabilitiesRequest, csi.NodeGetCapabilitiesResponse)
    get_info = Call(csi.NodeGetInfoRequest, csi.NodeGetInfoResponse)

    async def capabilities(self) -> frozenset[NodeCapability]:
        """Raises CSIError."""
        return values.node_capabilities(await self.get_capabilities(csi.NodeGetCapabilitiesRequest()))

    async def info(self) -> NodeInfo:
        """Raises CSIError; BadAnswer for a node without an id."""
        return NodeInfo.of(await self.get_info(csi.NodeGetInfoRequest()))

    async def stats(self, request: csi.NodeGetVolumeStatsRequest) -> VolumeStats:
        """Raises CSIError."""
        return VolumeStats.of(await self.get_volume_stats(request))


class Controller(Service):
    """What a driver does for volumes wherever they are used. Many drivers serve it at another endpoint, or not at all."""

    create_volume = Call(csi.CreateVolumeRequest, csi.CreateVolumeResponse)
    delete_volume = Call(csi.DeleteVolumeRequest, csi.DeleteVolumeResponse)
    publish_volume = Call(csi.ControllerPublishVolumeRequest, csi.ControllerPublishVolumeResponse)
    unpublish_volume = Call(csi.ControllerUnpublishVolumeRequest, csi.ControllerUnpublishVolumeResponse)
    validate_volume_capabilities = Call(csi.ValidateVolumeCapabilitiesRequest, csi.ValidateVolumeCapabilitiesResponse)
    list_volumes = Call(csi.ListVolumesRequest, csi.ListVolumesResponse)
    get_capacity = Call(csi.GetCapacityRequest, csi.GetCapacityResponse)
    get_capabilities = Call(csi.ControllerGetCapabilitiesRequest, csi.ControllerGetCapabilitiesResponse)
    create_snapshot = Call(csi.CreateSnapshotRequest, csi.CreateSnapshotResponse)
    delete_snapshot = Call(csi.DeleteSnapshotRequest, csi.DeleteSnapshotResponse)
    list_snapshots = Call(csi.ListSnapshotsRequest, csi.ListSnapshotsResponse)
    get_snapshot = Call(csi.GetSnapshotRequest, csi.GetSnapshotResponse)
    expand_volume = Call(csi.ControllerExpandVolumeRequest, csi.ControllerExpandVolumeResponse)
    get_volume = Call(csi.ControllerGetVolumeRequest, csi.ControllerGetVolumeResponse)
    modify_volume = Call(csi.ControllerModifyVolumeRequest, csi.ControllerModifyVolumeResponse)

    async def capabilities(self) -> frozenset[ControllerCapability]:
        """Raises CSIError; NotSupported where the driver has no controller here."""
        return values.controller_capabilities(await self.get_capabilities(csi.ControllerGetCapabilitiesRequest()))

    async def volumes(self, *, page: int = 0) -> AsyncIterator[csi.ListVolumesResponse.Entry]:
        """All volumes, `page` at a time (0: as many as the driver gives). Raises CSIError; BadAnswer for pages without end."""
        request, seen = csi.ListVolumesRequest(max_entries=page), set[str]()
        while request.starting_token not in seen:
            seen.add(request.starting_token)
            answer = await self.list_volumes(request)
            for entry in answer.entries:
                yield entry
            if not answer.next_token:
                return
            request.starting_token = answer.next_token
        raise BadAnswer("its pages lead back to one that was given before", method="ListVolumes")


class GroupController(Service):
    """What a driver does for several volumes at once."""

    get_capabilities = Call(csi.GroupControllerGetCapabilitiesRequest, csi.GroupControllerGetCapabilitiesResponse)
    create_snapshot = Call(csi.CreateVolumeGroupSnapshotRequest, csi.CreateVolumeGroupSnapshotResponse)
    delete_snapshot = Call(csi.DeleteVolumeGroupSnapshotRequest, csi.DeleteVolumeGroupSnapshotResponse)
    get_snapshot = Call(csi.GetVolumeGroupSnapshotRequest, csi.GetVolumeGroupSnapshotResponse)

    async def capabilities(self) -> frozenset[GroupControllerCapability]:
        """Raises CSIError; NotSupported where the driver has no such service here."""
        request = csi.GroupControllerGetCapabilitiesRequest()
        return values.group_controller_capabilities(await self.get_capabilities(request))


class SnapshotMetadata(Service):
    """Which blocks of snapshots have something in them, and which differ from those of another."""

    allocated = Stream(csi.GetMetadataAllocatedRequest, csi.GetMetadataAllocatedResponse)
    delta = Stream(csi.GetMetadataDeltaRequest, csi.GetMetadataDeltaResponse)


class Client:
    """`identity`, `node`, `controller`, `group_controller`, `snapshot_metadata`: the services at one endpoint.

    It holds nothing open, and needs no closing.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.identity = Identity(endpoint)
        self.node = Node(endpoint)
        self.controller = Controller(endpoint)
        self.group_controller = GroupController(endpoint)
        self.snapshot_metadata = SnapshotMetadata(endpoint)

    @classmethod
    def at(cls, address: str, *, deadline_seconds: float = DEADLINE_SECONDS) -> Self:
        """`address` as of `Endpoint`. Raises ValueError."""
        return cls(Endpoint(address, deadline_seconds=deadline_seconds))
