"""Who the driver says it is, and whether what it claims fits together."""

import contextlib
from collections.abc import Iterator

import pytest

from csi import errors
from csi.testing.levels import must, should
from csi.testing.subject import Subject
from csi.values import ControllerCapability, NodeCapability, PluginCapability
from proto import csi_pb2 as csi

pytestmark = pytest.mark.asyncio

_REPEATS = 10


@must("GetPluginInfo")
async def test_i2_a_driver_has_a_name_and_a_version(driver: Subject) -> None:
    """The name has the form of a domain name, of at most 63 characters."""
    plugin = await driver.identity.plugin()  # BadAnswer for a name that is none
    assert plugin.vendor_version, "no vendor_version"


@must("GetPluginCapabilities")
async def test_i4_services_that_are_known(driver: Subject) -> None:
    """Each entry is a service or a kind of expansion; there may be none."""
    answer = await driver.identity.get_plugin_capabilities(csi.GetPluginCapabilitiesRequest())
    for entry in answer.capabilities:
        assert entry.WhichOneof("type") is not None, "an entry that says nothing"
        assert entry.service.type or entry.volume_expansion.type, "an entry of type UNKNOWN"


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
