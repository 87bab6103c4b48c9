"""Which verbs a CSI volume needs, and when a pod finds no room for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import PersistentVolume, Volume

from nodeagent.volumes.contract import Capabilities, NodeFull, VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.csi import selinux
from nodeagent.volumes.csi.attachments import NotAttached
from nodeagent.volumes.csi.driver_specs import DriverSpec
from nodeagent.volumes.csi.drivers import Drivers, NotRegistered
from nodeagent.volumes.csi.layout import CSILayout
from nodeagent.volumes.csi.plugin import CSIPlugin
from nodeagent.volumes.csi.preparation import Preparation
from nodeagent.volumes.layout import Layout

CLAIM: Any = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
BOUND = VolumeSource(
    volume=msgspec.convert(CLAIM, Volume),
    persistent_volume=msgspec.convert(
        {"metadata": {"name": "pv"}, "spec": {"csi": {"driver": "d", "volumeHandle": "h"}}}, PersistentVolume
    ),
)
INLINE = VolumeSource(volume=msgspec.convert({"name": "v", "csi": {"driver": "d"}}, Volume))
OTHER = VolumeSource(volume=msgspec.convert({"name": "v", "emptyDir": {}}, Volume))
POD = agent_pod({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"containers": []}})


class World:
    """What is said of the driver, and how its volumes are attached."""

    def __init__(self, root: Path) -> None:
        self.spec = DriverSpec()
        self.error: Exception | None = None
        self.recounted: list[str] = []
        nothing: Any = self
        preparation = Preparation(
            Drivers(), nothing, nothing, nothing, node_name="n", host=selinux.Host(), grace_seconds=0.0
        )
        self.plugin = CSIPlugin(CSILayout(Layout(root)), preparation, nothing, self.recount)

    def known(self, driver: str) -> DriverSpec:
        return self.spec

    async def get(self, driver: str) -> DriverSpec:
        return self.spec

    async def wait(self, volume: object) -> None:
        if self.error is not None:
            raise self.error

    async def recount(self, driver: str) -> None:
        self.recounted.append(driver)

    def forget(self, uid: str) -> None:
        return


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_which_volumes_and_verbs(world: World) -> None:
    """A claim's volume is staged, may grow, and is attached unless the driver's object says otherwise; one in a pod's spec is
    published alone."""
    plugin = world.plugin
    assert [plugin.supports(each) for each in (BOUND, INLINE, OTHER)] == [True, True, False]
    assert plugin.capabilities(BOUND) == Capabilities(attach=True, stage=True, expand=True)
    assert plugin.capabilities(INLINE) == Capabilities()
    world.spec = DriverSpec(attach=False, republish=True)
    assert plugin.capabilities(BOUND) == Capabilities(republish=True, stage=True, expand=True)
    assert plugin.capabilities(INLINE) == Capabilities(republish=True)
    assert plugin.volume_id(BOUND) == "kubernetes.io/csi/d^h"


@pytest.mark.parametrize(
    ("seconds", "code", "kind", "recounted"),
    [(60, 8, NodeFull, ["d"]), (60, 13, NotAttached, []), (None, 8, NotAttached, [])],
)
async def test_a_node_without_room(
    world: World, seconds: int | None, code: int, kind: type[VolumeError], recounted: list[str]
) -> None:
    """Where the driver counts anew, it is asked to, so that no more pods are sent; the pod is told that another node may do."""
    world.spec = DriverSpec(recount_seconds=seconds)
    world.error = NotAttached("no slot", code)
    with pytest.raises(kind, match="no slot"):
        await world.plugin.attach(VolumeRequest(pod=POD, source=BOUND))
    assert world.recounted == recounted


async def test_what_needs_no_attaching(world: World) -> None:
    """It is not waited for."""
    world.spec, world.error = DriverSpec(attach=False), AssertionError()
    await world.plugin.attach(VolumeRequest(pod=POD, source=BOUND))


@pytest.mark.parametrize("verb", [lambda plugin: plugin.stage, lambda plugin: plugin.publish])
async def test_a_driver_that_is_not_there(world: World, verb: Callable[[CSIPlugin], Any]) -> None:
    """Nothing is made on the disk for it; who waits will hear of it."""
    with pytest.raises(NotRegistered, match="driver name d not found in the list of registered CSI drivers"):
        await verb(world.plugin)(VolumeRequest(pod=POD, source=BOUND))
    assert list(world.plugin._layout.pods.root_dir.iterdir()) == []


async def test_what_never_was_there(world: World) -> None:
    """It is down, whoever its driver was, and whether that is there or not."""
    await world.plugin.unpublish("u", "pv")
    await world.plugin.unstage("kubernetes.io/csi/d^h")
    with pytest.raises(VolumeError, match="is not the id of a CSI volume"):
        await world.plugin.unstage("nfs/x")


async def test_a_note_that_cannot_be_read(world: World, tmp_path: Path) -> None:
    """The volume of nobody knows what driver is taken down as far as it is empty; data in it is kept."""
    folder = tmp_path / "pods/u/volumes/kubernetes.io~csi/pv"
    (folder / "mount").mkdir(parents=True)
    (folder / "vol_data.json").write_text("{")
    await world.plugin.unpublish("u", "pv")
    assert not folder.exists()
    (folder / "mount").mkdir(parents=True)
    (folder / "mount/data").touch()
    (folder / "vol_data.json").write_text("{")
    with pytest.raises((VolumeError, OSError)):
        await world.plugin.unpublish("u", "pv")
    assert (folder / "mount/data").exists()
