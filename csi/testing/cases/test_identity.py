"""Where the driver listens, who it says it is, whether what it claims fits together, and the form of its errors."""

import contextlib
import re
import socket
import stat
from collections.abc import Iterator

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message

from csi import channel, errors
from csi.endpoint import Endpoint, path_of
from csi.testing.levels import must, should
from csi.testing.subject import Subject
from csi.values import ControllerCapability, NodeCapability, PluginCapability
from proto import csi_pb2 as csi

pytestmark = pytest.mark.asyncio

_REPEATS = 10
_SECONDS = 10.0
_DETAILS = "grpc-status-details-bin"  # where gRPC carries the details of a status
_DOMAIN = re.compile(r"[A-Za-z]([A-Za-z0-9.-]{0,61}[A-Za-z])?")


@must("Connectivity")
async def test_i1_a_stream_socket(driver: Subject) -> None:
    """The endpoint, and the Controller's where that is another, is a unix socket that takes connections of bytes."""
    for address in {driver.implementation.endpoint, driver.implementation.controller_endpoint} - {""}:
        path = Endpoint(address).path
        assert stat.S_ISSOCK(path.stat().st_mode), f"{path} is no socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(_SECONDS)
            client.connect(str(path))


@must("GetPluginInfo")
async def test_i2_a_driver_has_a_name_and_a_version(driver: Subject) -> None:
    """The name has the form of a domain name, of at most 63 characters."""
    plugin = await driver.identity.plugin()  # BadAnswer for a name that is none
    assert plugin.vendor_version, "no vendor_version"


@should("GetPluginInfo")
async def test_i3_a_name_as_common_testers_want_it(driver: Subject) -> None:
    """With a letter at both ends: the specification allows digits there, a widespread suite does not."""
    name = (await driver.identity.plugin()).name
    assert _DOMAIN.fullmatch(name), f"{name!r} begins or ends with a digit"


@must("Error Scheme")
async def test_i8_the_form_of_errors(driver: Subject) -> None:
    """Calls without any argument are refused, with a message and without `details`, which the specification keeps empty."""
    node: list[Message] = [csi.NodePublishVolumeRequest(), csi.NodeUnpublishVolumeRequest()]
    if driver.can(NodeCapability.STAGE_UNSTAGE_VOLUME):
        node.append(csi.NodeStageVolumeRequest())
    controller: list[Message] = []
    if driver.can(ControllerCapability.CREATE_DELETE_VOLUME):
        controller += [csi.CreateVolumeRequest(), csi.DeleteVolumeRequest()]
    if driver.can(ControllerCapability.CREATE_DELETE_SNAPSHOT):
        controller += [csi.CreateSnapshotRequest(), csi.DeleteSnapshotRequest()]
    wrong: list[str] = []
    for service, requests in ((driver.node, node), (driver.controller, controller)):
        for request in requests:
            wrong += await _faults(service.endpoint, request)
    assert wrong == []


async def _faults(endpoint: Endpoint, request: Message) -> list[str]:
    """What is not right about the error that the answer should be: as it comes, before csi.errors has read it."""
    path = path_of(request)
    name = path.rpartition("/")[2]
    async with channel.connected(endpoint.path, name, _SECONDS) as connection:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = connection.unary_unary(path)
        try:
            await call(request.SerializeToString(), timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            wrong = [] if error.details() else [f"{name}: {error.code().name} without a message"]
            if _DETAILS in {key for key, _ in error.trailing_metadata()}:
                wrong.append(f"{name}: {error.code().name} with details")
            return wrong
    return [f"{name}: OK without any argument"]


@must("GetPluginCapabilities")
async def test_i4_services_that_are_known(driver: Subject) -> None:
    """Each entry is a service or a kind of expansion; there may be none."""
    answer = await driver.identity.get_plugin_capabilities(csi.GetPluginCapabilitiesRequest())
    for entry in answer.capabilities:
        assert entry.WhichOneof("type") is not None, "an entry that says nothing"
        assert entry.service.type or entry.volume_expansion.type, "an entry of type UNKNOWN"


@must("ControllerGetCapabilities")
async def test_i4b_capabilities_that_are_known(driver: Subject) -> None:
    """No entry without a type, of a controller that is claimed."""
    driver.needs(PluginCapability.CONTROLLER_SERVICE)
    if driver.implementation.node_only:
        pytest.skip("not asked for: --csi-node-only")
    answer = await driver.controller.get_capabilities(csi.ControllerGetCapabilitiesRequest())
    assert all(entry.rpc.type for entry in answer.capabilities)


@must("Probe")
async def test_i5_a_healthy_driver_is_ready(driver: Subject) -> None:
    """`ready` absent counts as ready."""
    assert await driver.identity.ready()


@must("ControllerGetCapabilities")
async def test_i9_no_controller_is_unimplemented(driver: Subject) -> None:
    """Without CONTROLLER_SERVICE its calls are UNIMPLEMENTED."""
    if driver.can(PluginCapability.CONTROLLER_SERVICE):
        pytest.skip("a controller is claimed")
    with driver.refused("UNIMPLEMENTED"):
        await driver.controller.get_capabilities(csi.ControllerGetCapabilitiesRequest())


@must("ControllerGetCapabilities")
async def test_i10_what_is_not_claimed_is_unimplemented(driver: Subject) -> None:
    """Optional calls of the controller whose capability is not there; or OK, of a driver that serves more than it claims."""
    driver.needs(ControllerCapability.CREATE_DELETE_VOLUME)
    controller, claimed = driver.controller, driver.claims
    volume = await driver.volume()
    if ControllerCapability.LIST_VOLUMES not in claimed:
        with _unimplemented():
            await controller.list_volumes(csi.ListVolumesRequest())
    if ControllerCapability.GET_CAPACITY not in claimed:
        with _unimplemented():
            await controller.get_capacity(csi.GetCapacityRequest())
    if ControllerCapability.PUBLISH_UNPUBLISH_VOLUME not in claimed:
        with _unimplemented():
            await controller.publish_volume(driver.attach_request(volume))
            volume.attached = True
    if ControllerCapability.CREATE_DELETE_SNAPSHOT not in claimed:
        with _unimplemented():
            await driver.snapshot(volume)
    if ControllerCapability.MODIFY_VOLUME not in claimed:
        with _unimplemented(), contextlib.suppress(errors.InvalidArgument):
            await controller.modify_volume(
                csi.ControllerModifyVolumeRequest(volume_id=volume.volume_id, mutable_parameters={"a": "b"})
            )


@contextlib.contextmanager
def _unimplemented() -> Iterator[None]:
    try:
        yield
    except errors.CSIError as error:
        assert error.code == "UNIMPLEMENTED", f"{error.code} ({error.message}) of what is not claimed"


@must("GetPluginCapabilities")
async def test_i11_an_expansion_that_is_claimed_can_be_asked_for(driver: Subject) -> None:
    """ONLINE or OFFLINE go with EXPAND_VOLUME of the controller, or of the node."""
    if not driver.claims & {PluginCapability.ONLINE_EXPANSION, PluginCapability.OFFLINE_EXPANSION}:
        pytest.skip("not claimed: an expansion")
    if driver.implementation.node_only:
        pytest.skip("not asked for: --csi-node-only")
    assert driver.claims & {ControllerCapability.EXPAND_VOLUME, NodeCapability.EXPAND_VOLUME}


@must("ControllerGetCapabilities")
async def test_i12_published_nodes_need_publishing(driver: Subject) -> None:
    """LIST_VOLUMES_PUBLISHED_NODES goes with PUBLISH_UNPUBLISH_VOLUME."""
    driver.needs(ControllerCapability.LIST_VOLUMES_PUBLISHED_NODES)
    assert driver.can(ControllerCapability.PUBLISH_UNPUBLISH_VOLUME)


@must("NodeGetInfo")
async def test_i14_topology_is_claimed_by_who_has_one(driver: Subject) -> None:
    """accessible_topology of the node only with VOLUME_ACCESSIBILITY_CONSTRAINTS."""
    assert not driver.info.topology or driver.can(PluginCapability.VOLUME_ACCESSIBILITY_CONSTRAINTS)


@should("NodeGetInfo")
async def test_i14b_who_claims_topology_has_one(driver: Subject) -> None:
    """With VOLUME_ACCESSIBILITY_CONSTRAINTS the node says where it is: allowed otherwise, and of no use."""
    driver.needs(PluginCapability.VOLUME_ACCESSIBILITY_CONSTRAINTS)
    assert driver.info.topology


@must("NodeGetCapabilities")
async def test_i15_both_sides_know_the_new_access_modes(driver: Subject) -> None:
    """SINGLE_NODE_MULTI_WRITER is claimed by controller and node, or by neither."""
    driver.needs(ControllerCapability.CREATE_DELETE_VOLUME)
    assert driver.can(NodeCapability.SINGLE_NODE_MULTI_WRITER) == driver.can(
        ControllerCapability.SINGLE_NODE_MULTI_WRITER
    )


@should("NodeGetCapabilities")
async def test_i16_what_is_said_does_not_change(driver: Subject) -> None:
    """Ten times the same answers."""
    identity, node = driver.identity, driver.node
    plugin = await identity.get_plugin_info(csi.GetPluginInfoRequest())
    services = await identity.get_plugin_capabilities(csi.GetPluginCapabilitiesRequest())
    capabilities = await node.get_capabilities(csi.NodeGetCapabilitiesRequest())
    for _ in range(_REPEATS):
        assert await identity.get_plugin_info(csi.GetPluginInfoRequest()) == plugin
        assert await identity.get_plugin_capabilities(csi.GetPluginCapabilitiesRequest()) == services
        assert await node.get_capabilities(csi.NodeGetCapabilitiesRequest()) == capabilities
