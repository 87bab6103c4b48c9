"""Local PersistentVolumes on the real kernel: whose group, with which options, on what device."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import PersistentVolume, Volume
from volume_subjects import disk

from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.local import LocalPlugin
from nodeagent.volumes.pod_volumes import PodRequests
from runtimes.linux import file_systems, loop, syscalls
from runtimes.linux.mounts import mounts_below, unmount_all

pytestmark = pytest.mark.node

GROUP, OTHER = 4321, 4322
SIZE = 16 << 20
ID = "kubernetes.io/local-volume/pv"


@dataclass
class Events:
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def event(self, ref: AgentPod | PersistentVolume, type: str, reason: str, message: str) -> None:
        self.seen.append(("pod" if isinstance(ref, AgentPod) else "volume", reason, message))


@dataclass
class Node:
    root: Path
    events: Events = field(default_factory=Events)

    @property
    def plugin(self) -> LocalPlugin:
        """The next agent's."""
        return LocalPlugin(Layout(self.root), self.events)

    async def up(self, request: VolumeRequest) -> Path:
        await self.plugin.stage(request)
        return (await self.plugin.publish(request)).host_path


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    found = Node(tmp_path / "kubelet")
    yield found
    left = mounts_below(found.root)
    for path in reversed(left):
        unmount_all(path)
    assert left == []


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path, SIZE) as path:
        yield path


def request_of(
    path: Path, uid: str = "u", *, read_only: bool = False, expand_to_bytes: int | None = None, **more: Any
) -> VolumeRequest:
    """`more`: of the PersistentVolume's spec, and `fsGroup`, `fsGroupChangePolicy` of the pod."""
    security = {key: more.pop(key) for key in ("fsGroup", "fsGroupChangePolicy") if key in more}
    pod = agent_pod(
        {
            "metadata": {"name": "p", "namespace": "ns", "uid": uid},
            "spec": {"containers": [], "securityContext": security},
        }
    )
    claim = {"name": "v", "persistentVolumeClaim": {"claimName": "c", "readOnly": read_only}}
    bound = {"metadata": {"name": "pv"}, "spec": {"local": {"path": str(path)}, **more}}
    source = VolumeSource(
        volume=msgspec.convert(claim, Volume),
        persistent_volume=msgspec.convert(bound, PersistentVolume),
        expand_to_bytes=expand_to_bytes,
    )
    return PodRequests(pod).of(source)


def group_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_gid, stat.S_IMODE(status.st_mode) & 0o2070


async def test_the_first_pod_decides_whose_group_it_is(node: Node, tmp_path: Path) -> None:
    """Another one's is told, and not done while the first one runs; it is once it is gone."""
    (tmp_path / "data/d").mkdir(parents=True)
    (tmp_path / "data/d/file").touch(mode=0o600)
    first, second = (request_of(tmp_path / "data", uid, fsGroup=g) for uid, g in (("a", GROUP), ("b", OTHER)))
    mounted = await node.up(first)
    assert [group_of(path) for path in (mounted, mounted / "d", mounted / "d/file")] == [
        (GROUP, 0o2070),
        (GROUP, 0o2070),
        (GROUP, 0o0060),
    ]
    await node.up(second)
    told = f"The requested fsGroup is {OTHER}, but the volume pv has GID {GROUP}. The volume may not be shareable."
    assert node.events.seen == [("pod", "AlreadyMountedVolume", told)]
    assert group_of(mounted / "d/file") == (GROUP, 0o0060)
    await node.plugin.unpublish("b", "pv")
    await node.plugin.unpublish("a", "pv")
    assert group_of(await node.up(second)) == (OTHER, 0o2070)
    assert len(node.events.seen) == 1
    await node.plugin.unpublish("b", "pv")


@pytest.mark.parametrize(("policy", "walked"), [("Always", True), (None, True), ("OnRootMismatch", False)])
async def test_when_the_group_is_given(node: Node, tmp_path: Path, policy: str | None, walked: bool) -> None:
    """At every set-up, or only where the root does not show that it was done."""
    data = tmp_path / "data"
    data.mkdir()
    request = request_of(data, fsGroup=GROUP, fsGroupChangePolicy=policy)
    await node.up(request)
    await node.plugin.unpublish("u", "pv")
    (data / "later").touch(mode=0o600)
    os.chown(data / "later", 0, 0)
    await node.up(request)
    assert (group_of(data / "later") == (GROUP, 0o060)) == walked
    await node.plugin.unpublish("u", "pv")


async def test_a_volume_for_reading(node: Node, device: Path) -> None:
    """One pod has it so, another writes; nobody's group is given where nothing may be written."""
    writer, reader = request_of(device, "w"), request_of(device, "r", read_only=True, fsGroup=GROUP)
    with pytest.raises(VolumeError, match=f"cannot mount unformatted disk {device} as we are manipulating it in read-"):
        await node.up(reader)
    written, read = await node.up(writer), await node.up(reader)
    (written / "file").write_text("x")
    with pytest.raises(OSError, match="Read-only file system"):
        (read / "file").write_text("y")
    assert group_of(read) == (0, 0o050)
    for uid in "rw":
        await node.plugin.unpublish(uid, "pv")
    await node.plugin.unstage(ID)


async def test_mount_options(node: Node, device: Path) -> None:
    """Those of the PersistentVolume, of the file system where it is mounted, of the mount for each pod."""
    mounted = await node.up(request_of(device, mountOptions=["noatime", "nosuid", "data=journal"]))
    table = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    options = {line[1]: set(line[3].split(",")) for line in table if line[1].startswith(str(node.root))}
    staging = str(node.root / "plugins/kubernetes.io/local-volume/mounts/pv")
    assert {"noatime", "nosuid"} <= options[str(mounted)]
    assert {"noatime", "nosuid", "data=journal"} <= options[staging]
    await node.plugin.unpublish("u", "pv")
    await node.plugin.unstage(ID)


async def test_another_file_system_than_declared(node: Node, device: Path) -> None:
    """An event of the volume's tells its owner; what is there stays."""
    await file_systems.make(device, "ext4")
    with pytest.raises(VolumeError) as caught:
        await node.up(request_of(device, local={"path": str(device), "fsType": "xfs"}))
    assert node.events.seen == [("volume", "FailedMountOnFilesystemMismatch", str(caught.value))]
    assert "as xfs failed: Invalid argument; there is ext4" in str(caught.value)
    await node.plugin.unstage(ID)
    assert await file_systems.probe(device) == "ext4"


async def test_what_is_still_used_is_not_taken_away(node: Node, device: Path, tmp_path: Path) -> None:
    """A mount of the same device elsewhere is named, and everything stays until it is gone."""
    mounted = await node.up(request_of(device))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    syscalls.mount(str(mounted), elsewhere, flags=syscalls.MS_BIND)
    await node.plugin.unpublish("u", "pv")
    try:
        with pytest.raises(VolumeError, match=f"is still mounted by other references: {elsewhere}"):
            await node.plugin.unstage(ID)
    finally:
        unmount_all(elsewhere)
    await node.plugin.unstage(ID)


async def test_it_has_grown_before_it_is_mounted(node: Node, device: Path, tmp_path: Path) -> None:
    """What an ext4 cannot without CAP_SYS_RESOURCE once it is; a device that is too small is told, a directory is as it is."""
    await file_systems.make(device, "ext4")
    os.truncate(tmp_path / "disk", 2 * SIZE)
    loop.grow(device)
    request = request_of(device, expand_to_bytes=2 * SIZE)
    mounted = await node.up(request)
    system = os.statvfs(mounted)
    assert system.f_blocks * system.f_frsize > 1.5 * SIZE
    await node.plugin.expand(request)
    with pytest.raises(VolumeError, match=f"device {device} has {2 * SIZE} bytes, and is to have {3 * SIZE}"):
        await node.plugin.expand(request_of(device, expand_to_bytes=3 * SIZE))
    await node.plugin.unpublish("u", "pv")
    await node.plugin.unstage(ID)
    await node.plugin.expand(request_of(tmp_path, expand_to_bytes=1 << 60))


@pytest.mark.parametrize(
    ("made", "block", "refusal"),
    [
        ("nothing", False, 'path ".*/made" does not exist'),
        ("file", False, "only directory and block device are supported"),
        ("file", True, "only directory and block device are supported"),
        ("directory", True, "is no block device"),
    ],
)
async def test_what_is_no_local_volume(node: Node, tmp_path: Path, made: str, block: bool, refusal: str) -> None:
    """It is told, and nothing is made in its place."""
    path = tmp_path / "made"
    if made == "file":
        path.touch()
    if made == "directory":
        path.mkdir()
    request = request_of(path, volumeMode="Block" if block else "Filesystem")
    with pytest.raises(VolumeError, match=refusal):
        if not block:
            await node.plugin.stage(request)
        await node.plugin.publish(request)
    assert path.exists() == (made != "nothing")


@pytest.mark.parametrize("path", ["/tmp/../etc", "relative", "/a\0b"])
async def test_paths_that_lead_elsewhere(node: Node, path: str) -> None:
    """An administrator has declared it, and may have been mistaken."""
    with pytest.raises(VolumeError, match="is no path of a local volume"):
        await node.plugin.stage(request_of(Path(path)))


async def test_each_pod_has_the_device_itself(node: Node, device: Path) -> None:
    """By a link in its folder that stays the same device; the last pod takes what is shared with it."""
    first, second = (request_of(device, uid, volumeMode="Block") for uid in "ab")
    link = (await node.plugin.publish(first)).host_path
    assert link == node.root / "pods/a/volumeDevices/kubernetes.io~local-volume/pv"
    other = (await node.plugin.publish(second)).host_path
    numbers = {path.stat().st_rdev for path in (link, other, device)}
    assert len(numbers) == 1 and stat.S_ISBLK(link.stat().st_mode)
    maps = node.root / "plugins/kubernetes.io/local-volume/volumeDevices/pv"
    assert {entry.name for entry in maps.iterdir()} == {"a", "b"}
    await node.plugin.unpublish("a", "pv")
    assert not link.is_symlink() and other.exists()
    await node.plugin.unpublish("b", "pv")
    assert not maps.exists()
