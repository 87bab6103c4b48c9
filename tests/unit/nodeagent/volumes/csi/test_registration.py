"""Which drivers are taken, and what the Node and the CSINode object are made to say."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from lightkube.models.core_v1 import Node
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.storage_v1 import CSINodeDriver, VolumeNodeResources

from csi.values import NodeInfo
from nodeagent.api.csi_node import CSINode
from nodeagent.plugin_registration.contract import Plugin, PluginRefused
from nodeagent.volumes.csi import node_objects, versions
from nodeagent.volumes.csi.drivers import Drivers, NotRegistered
from nodeagent.volumes.csi.registration import DriverRegistration

INFO = NodeInfo(node_id="i-1", max_volumes=3, topology={"zone": "a", "rack": "7"})


@pytest.mark.parametrize(
    ("given", "highest"),
    [
        (["1.0.0"], (1, 0, 0)),
        (["0.3.0", "1.2.0", "v1.10", "2.0.0", "rubbish"], (1, 10, 0)),
        (["1.5.0-rc1"], (1, 5, 0)),
        (["0.3.0", "2.0.0"], None),
        (["1", "1.x", "", "-1.0.0", "1.99999999999999999999.0"], None),
        ([], None),
    ],
)
def test_versions(given: list[str], highest: versions.Version | None) -> None:
    """The highest 1.x counts; what is no version is passed over."""
    assert versions.highest(given) == highest


@dataclass
class Records:
    removed: list[str] = field(default_factory=list)

    async def add(self, driver: str, info: NodeInfo) -> None:
        return

    def remove(self, driver: str) -> None:
        self.removed.append(driver)


def plugin(name: str = "d.example.com", socket: str = "/r/d.sock", *versions: str, endpoint: str = "/e.sock") -> Plugin:
    return Plugin(type="CSIPlugin", name=name, endpoint=endpoint, versions=versions or ("1.0.0",), socket=Path(socket))


@pytest.mark.parametrize(
    "wrong",
    [
        plugin("-no-name-"),
        plugin("x" * 64),
        plugin("../../etc"),
        plugin("d.example.com", "/r/d.sock", "0.3.0"),
        plugin(endpoint="relative"),
        plugin(endpoint="unix://" + "/long" * 30),
    ],
)
def test_drivers_that_are_refused(wrong: Plugin) -> None:
    """By their names, which become paths; by their versions; by endpoints that nothing can be connected to."""
    registration = DriverRegistration(Drivers(), Records(), lambda: None, lambda *_: None)
    with pytest.raises(PluginRefused):
        registration.validate(wrong)


async def test_a_name_that_is_taken() -> None:
    """By an equal or newer one: refused; by an older one: taken over, and the older's end is not the newer's. The same socket may
    always come again."""
    drivers, records = Drivers(), Records()
    calls: list[tuple[str, str, str]] = []
    registration = DriverRegistration(drivers, records, lambda: None, lambda *call: calls.append(call[:3]))
    with pytest.raises(PluginRefused):  # nobody listens; it was added all the same, until it is let go
        await registration.register(plugin())
    assert calls == [("d.example.com", "/csi.v1.Node/NodeGetInfo", "UNAVAILABLE")]
    registration.validate(plugin())
    with pytest.raises(PluginRefused, match="already registered"):
        registration.validate(plugin("d.example.com", "/r/other.sock"))
    newer = plugin("d.example.com", "/r/other.sock", "1.5.0")
    registration.validate(newer)
    with pytest.raises(PluginRefused):
        await registration.register(newer)
    await registration.deregister(plugin())
    assert (drivers.get("d.example.com").socket, records.removed) == (newer.socket, [])
    await registration.deregister(newer)
    assert (drivers.all(), records.removed) == ((), ["d.example.com"])


async def test_who_waits_for_a_driver() -> None:
    """Is told when it has come."""
    drivers = Drivers()
    with pytest.raises(NotRegistered) as caught:
        drivers.get("d.example.com")
    waiting = asyncio.create_task(caught.value.came.wait())
    drivers.ready("d.example.com")
    assert await waiting


def node(**metadata: object) -> Node:
    return Node(metadata=ObjectMeta(name="n", **metadata))  # type: ignore[arg-type]


def test_what_the_node_says() -> None:
    """A driver's id beside those of others, and the topology; only what is new."""
    before = node(annotations={node_objects.NODE_IDS: '{"other":"o-1"}'}, labels={"zone": "a"})
    assert node_objects.with_driver(before, "d", INFO) == {
        "annotations": {node_objects.NODE_IDS: '{"d":"i-1","other":"o-1"}'},
        "labels": {"rack": "7"},
    }
    done = node(annotations={node_objects.NODE_IDS: '{"d":"i-1"}'}, labels={"zone": "a", "rack": "7"})
    assert node_objects.with_driver(done, "d", INFO) == {}
    assert node_objects.without_driver(done, "d") == {"annotations": {node_objects.NODE_IDS: None}}
    assert node_objects.without_driver(before, "d") == {}


def test_a_node_that_is_elsewhere() -> None:
    """A label that says otherwise is not overwritten: the driver is not registered."""
    with pytest.raises(node_objects.LabelTaken, match='driver reported "zone":"a" but existing label is "zone":"b"'):
        node_objects.with_driver(node(labels={"zone": "b"}), "d", INFO)


def test_an_annotation_that_cannot_be_read() -> None:
    """It is written anew."""
    broken = node(annotations={node_objects.NODE_IDS: "{"})
    assert node_objects.with_driver(broken, "d", NodeInfo(node_id="i"))["annotations"] == {
        node_objects.NODE_IDS: '{"d":"i"}'
    }


def test_what_the_csi_node_says() -> None:
    """A driver in its place, its keys sorted, its count only where it has one, and no more than 32 bits of it."""
    other = CSINodeDriver(name="o", nodeID="x")
    entry = CSINodeDriver(
        name="d", nodeID="i-1", topologyKeys=["rack", "zone"], allocatable=VolumeNodeResources(count=3)
    )
    old = CSINodeDriver(name="d", nodeID="i-0")
    assert node_objects.listing([old, other], "d", INFO) == [entry, other]
    assert node_objects.listing([other], "d", INFO) == [other, entry]
    assert node_objects.listing([], "d", NodeInfo(node_id="i")) == [CSINodeDriver(name="d", nodeID="i")]
    (many,) = node_objects.listing([], "d", NodeInfo(node_id="i", max_volumes=2**40))
    assert many.allocatable == VolumeNodeResources(count=2**31 - 1)
    assert node_objects.not_listing([entry, other], "d") == [other]


def test_whose_csi_node_it_is() -> None:
    """The Node's of now, not of one that had its name."""
    made = node_objects.new_csi_node("n", "uid-1")
    assert node_objects.is_of(made, "uid-1")
    assert not node_objects.is_of(made, "uid-2")
    assert not node_objects.is_of(CSINode(), "uid-1")
