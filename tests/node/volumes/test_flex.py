"""FlexVolume drivers on the real kernel: programs that come and go, fail and hang."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from flex_driver import InstalledDriver
from lightkube.models.core_v1 import Secret
from volume_subjects import disk

from nodeagent.volumes.contract import VolumePlugin
from nodeagent.volumes.flex.attachers import NodeAttacher
from nodeagent.volumes.flex.driver import Driver
from nodeagent.volumes.flex.drivers import FlexDrivers
from nodeagent.volumes.flex.plugin import FlexVolumePlugin
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.manager import MountFailed, VolumeManager
from nodeagent.volumes.pod_folder import remove_pod_folder
from runtimes.linux.mountinfo import read_mounts
from runtimes.linux.mounts import is_mount_point, mounts_below

pytestmark = pytest.mark.node

STAGED = {"flexVolume": {"driver": "example.com/staged"}}
PLAIN = {"flexVolume": {"driver": "example.com/plain"}}


class Place:
    """A node's folder of drivers, and managers over it, one after the other."""

    def __init__(self, root: Path, folder: Path, sources: Any) -> None:
        self.root = root
        self.folder = folder
        self.sources = sources
        self.layout = Layout(root)
        self.drivers = FlexDrivers(folder, self._plugin)

    def _plugin(self, driver: Driver) -> VolumePlugin:
        return FlexVolumePlugin(driver, self.layout, NodeAttacher("node-1"), self.sources, self.sources)

    def manager(self, wait_seconds: float = 30.0) -> VolumeManager:
        return VolumeManager(
            layout=self.layout,
            plugins=(),
            families=(self.drivers,),
            events=self.sources,
            wait_seconds=wait_seconds,
        )

    async def installed(self, kind: str) -> InstalledDriver:
        driver = InstalledDriver(self.folder, kind)
        driver.install()
        await self.drivers.scan()
        return driver


@pytest.fixture
def place(root: Path, tmp_path: Path, sources: Any) -> Place:
    return Place(root, tmp_path / "exec", sources)


@pytest.fixture
async def following(place: Place) -> AsyncIterator[Callable[[], list[str]]]:
    """The drivers are followed; the answer has the names of those that are there now."""
    task = asyncio.create_task(place.drivers.run())
    yield lambda: sorted(plugin.name for plugin in place.drivers.members() if plugin.name != "flexvolume")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_drivers_come_and_go(place: Place, following: Callable[[], list[str]]) -> None:
    """As their folder and programs do, without a restart: there, changed, and gone."""
    await until(lambda: following() == [])
    staged, plain = InstalledDriver(place.folder, "staged"), InstalledDriver(place.folder, "plain")
    staged.install()
    await until(lambda: following() == [staged.name])
    plain.install()
    await until(lambda: following() == [plain.name, staged.name])
    plain.strike("fail", "init")
    plain.install()
    await until(lambda: following() == [staged.name])
    plain.heal("fail", "init")
    plain.install()
    await until(lambda: following() == [plain.name, staged.name])
    staged.remove()
    await until(lambda: following() == [plain.name])
    assert set(staged.verbs()) == {"init"}


async def test_a_driver_that_attaches(place: Place, pod_of: Any, sources: Any) -> None:
    """Attached and staged once for two pods, bound for each, and all of it undone by an agent that did nothing of it."""
    driver = await place.installed("staged")
    pods = [pod_of([{"name": "v", **STAGED}], uid=uid) for uid in ("one", "other")]
    manager = place.manager()
    first, second = [(await manager.mount(pod))["v"].host_path for pod in pods]
    assert first == place.root / "pods/one/volumes/example.com~staged/v"
    (first / "file").write_text("shared")
    assert (second / "file").read_text() == "shared"
    staging = place.root / "plugins/kubernetes.io/flexvolume/example.com/staged/mounts/v"
    assert sorted(mounts_below(place.root)) == sorted([staging, first, second])
    assert manager.in_use() == ["flexvolume-example.com/staged/v"]
    assert driver.verbs() == [
        "init",
        *["attach", "waitforattach", "mountdevice", "mount"],
        *["attach", "waitforattach"],
    ]
    assert driver.calls()[3][1:3] == [str(staging), "/dev/flex"]
    later = place.manager()
    for pod in pods:
        await later.unmount(pod.uid)
        remove_pod_folder(place.root / "pods" / pod.uid)
    assert driver.verbs()[-3:] == ["unmount", "unmountdevice", "detach"]
    assert driver.calls()[-1] == ["detach", "v", "node-1"]
    assert mounts_below(place.root) == []
    assert sources.events == []


async def test_a_driver_that_only_attaches(place: Place, pod_of: Any, tmp_path: Path) -> None:
    """The agent makes a file system on the device, mounts it once, and hands it to the pod's group; what is written stays."""
    driver = await place.installed("device")
    pod = pod_of([{"name": "v", "flexVolume": {"driver": driver.name}}], securityContext={"fsGroup": 2000})
    with disk(tmp_path, 32 << 20) as device:
        driver.program.with_name("device.device").write_text(str(device))
        for number in range(2):
            path = (await place.manager().mount(pod))["v"].host_path
            assert [entry.fstype for entry in read_mounts() if entry.point == str(path)] == ["ext4"]
            assert path.stat().st_gid == 2000
            (path / f"file{number}").write_text("kept")
            await place.manager().unmount("uid-1")
            assert mounts_below(place.root) == []
        path = (await place.manager().mount(pod))["v"].host_path
        assert {"file0", "file1"} <= {entry.name for entry in path.iterdir()}
        await place.manager().unmount("uid-1")
    assert set(driver.verbs()) == {
        "init",
        "attach",
        "waitforattach",
        "mountdevice",
        "mount",
        "unmount",
        "unmountdevice",
        "detach",
    }


async def test_what_a_driver_is_told(place: Place, pod_of: Any, sources: Any) -> None:
    """Options, the pod, its group, and secrets, which nobody else sees: neither the log nor an error."""
    driver = await place.installed("plain")
    password = base64.b64encode(b"s3same").decode()
    sources.secrets["s"] = Secret(type="example.com/plain", data={"password": password})
    flex = {"driver": driver.name, "options": {"share": "x"}, "secretRef": {"name": "s"}, "readOnly": True}
    pod = pod_of([{"name": "v", "flexVolume": flex}], securityContext={"fsGroup": 2000}, serviceAccountName="robot")
    driver.strike("fail", "mount")
    mounting = asyncio.create_task(place.manager().mount(pod))
    await until(lambda: len(sources.events) > 0)
    driver.heal("fail", "mount")
    mounted = (await mounting)["v"]
    text = (
        'MountVolume.SetUp failed for volume "v" : mount command failed, status: Failure, reason: as the test wants it'
    )
    assert sources.events[0] == ("Warning", "FailedMount", text)
    assert mounted.read_only_forced
    verb, target, options = driver.calls()[-1][0], driver.calls()[-1][1], " ".join(driver.calls()[-1][2:])
    assert (verb, target) == ("mount", str(mounted.host_path))
    assert json.loads(options) == {
        "share": "x",
        "kubernetes.io/fsType": "",
        "kubernetes.io/readwrite": "ro",
        "kubernetes.io/pvOrVolumeName": "v",
        "kubernetes.io/pod.name": "p",
        "kubernetes.io/pod.namespace": "ns",
        "kubernetes.io/pod.uid": "uid-1",
        "kubernetes.io/serviceAccount.name": "robot",
        "kubernetes.io/mounterArgs.FsGroup": "2000",
        "kubernetes.io/secret/password": password,
    }
    await place.manager().unmount("uid-1")


async def test_a_secret_of_another_type_is_not_given_away(place: Place, pod_of: Any, sources: Any) -> None:
    """A secret names the driver that may have it."""
    driver = await place.installed("plain")
    sources.secrets["s"] = Secret(type="Opaque", data={"password": "cw=="})
    pod = pod_of([{"name": "v", "flexVolume": {"driver": driver.name, "secretRef": {"name": "s"}}}])
    mounting = asyncio.create_task(place.manager().mount(pod))
    await until(lambda: len(sources.events) > 0)
    mounting.cancel()
    await asyncio.gather(mounting, return_exceptions=True)
    assert sources.events[0][2].endswith("secret ns/s is not of type example.com/plain")
    assert driver.verbs() == ["init"]


async def test_a_volume_waits_for_its_driver(
    place: Place, pod_of: Any, sources: Any, following: Callable[[], list[str]]
) -> None:
    """The pod is told which driver from where, and starts when it is installed."""
    mounting = asyncio.create_task(place.manager().mount(pod_of([{"name": "v", **PLAIN}])))
    await until(lambda: len(sources.events) > 0)
    assert sources.events[0][2].endswith(f"no FlexVolume driver example.com/plain has started from {place.folder}")
    InstalledDriver(place.folder, "plain").install()
    assert is_mount_point((await mounting)["v"].host_path)
    await place.manager().unmount("uid-1")


async def test_a_driver_that_hangs_is_ended(
    place: Place, pod_of: Any, sources: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its deadline is told; meanwhile other volumes of the pod are mounted."""
    monkeypatch.setattr(Driver.call, "__kwdefaults__", {"timeout_seconds": 3})
    staged, plain = await place.installed("staged"), await place.installed("plain")
    plain.strike("hang", "mount")
    volumes = [{"name": "slow", **PLAIN}, {"name": "quick", **STAGED}]
    manager = place.manager(wait_seconds=5)
    with pytest.raises(MountFailed, match=r"unmounted volumes=\[slow\]"):
        await manager.mount(pod_of(volumes))
    assert "did not finish within 3s and was killed" in sources.events[0][2]
    plain.heal("hang", "mount")
    assert sorted(await place.manager().mount(pod_of(volumes))) == ["quick", "slow"]
    await place.manager().unmount("uid-1")
    assert staged.verbs()[-1] == "detach"


async def test_data_outlives_a_driver_that_only_says_it_has_unmounted(place: Place, pod_of: Any) -> None:
    """What is still mounted, or is there without a mount, is no empty directory: it stays, and so does the pod's folder."""
    driver = await place.installed("plain")
    path = (await place.manager().mount(pod_of([{"name": "v", **PLAIN}])))["v"].host_path
    (path / "precious").write_text("x")
    honest = driver.program.read_text()
    driver.program.write_text('#!/bin/sh\necho \'{"status": "Success"}\'\n')
    with pytest.raises(ExceptionGroup) as caught:
        await place.manager().unmount("uid-1")
    assert "is still mounted" in str(caught.value.exceptions[0])
    assert os.listdir(path) == ["precious"]
    driver.program.write_text(honest)
    await place.manager().unmount("uid-1")
    assert not path.exists()
