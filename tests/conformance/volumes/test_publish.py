"""What every volume type promises of publish and unpublish."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from volume_subjects import Place, struck

from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumeUsage
from nodeagent.volumes.pod_folder import remove_pod_folder
from runtimes.linux import syscalls
from runtimes.linux.mounts import MountError, unmount_all

pytestmark = pytest.mark.node

GROUP = 4321


def content(volume: MountedVolume) -> dict[str, bytes]:
    """Visible path -> content."""
    found = (Path(parent, name) for parent, _, names in os.walk(volume.host_path, followlinks=True) for name in names)
    relative = ((path, str(path.relative_to(volume.host_path))) for path in found)
    return {name: path.read_bytes() for path, name in relative if not name.startswith("..")}


async def test_it_is_published_once_however_often(place: Place) -> None:
    """By the same agent and by the next one: the same volume, one mount, and what the pod wrote is there."""
    agent, request = place.agent(), place.request()
    first = await place.up(agent, request)
    mounts = place.mounts()
    if place.subject.written == "pod":
        (first.host_path / "file").write_text("the pod's")
    before = content(first) if place.subject.written != "host" else {}
    for again in (agent, place.agent()):
        assert await place.up(again, request) == first
        assert place.mounts() == mounts
    assert (content(first) if before else {}) == before
    await place.down(place.agent(), request)


async def test_it_goes_without_a_trace(place: Place) -> None:
    """Taken down by an agent that has not published it; once more, and what never was there, is fine."""
    request = place.request()
    await place.down(place.agent(), request)
    mounted = await place.up(place.agent(), request)
    if place.subject.written == "pod":
        (mounted.host_path / "file").write_text("the pod's")
    later = place.agent()
    await place.down(later, request)
    assert place.left() == []
    await place.down(later, request)
    remove_pod_folder(place.layout.pod_dir("u"))
    if place.subject.written == "host":
        assert mounted.host_path.exists()


async def test_an_agent_that_ends_in_the_middle_is_followed_by_another(place: Place) -> None:
    """At each of its calls of the file system: the next agent takes the half away, or completes it."""
    request = place.request(fs_group=GROUP)
    strikes, at = 0, ["the first"]
    while at:
        with struck(place.root, strikes) as at:
            await place.up(place.agent(), request)
        if strikes % 2:
            await place.up(place.agent(), request)
        await place.down(place.agent(), request)
        assert place.left() == [], f"after call {strikes}: {at}"
        strikes += 1
        assert strikes < 1000
    assert strikes > 3 or place.subject.written == "host"


async def test_an_agent_that_ends_while_it_takes_down_is_followed_by_another(place: Place) -> None:
    """The rest goes with the next one."""
    strikes, at = 0, ["the first"]
    while at:
        request = place.request()
        await place.up(place.agent(), request)
        with struck(place.root, strikes) as at:
            await place.down(place.agent(), request)
        await place.down(place.agent(), request)
        assert place.left() == [], f"after call {strikes}: {at}"
        strikes += 1
        assert strikes < 1000


async def test_what_is_published_anew_is_the_old_or_the_new(agents_place: Place) -> None:
    """A pod never sees half of an update, wherever the agent ends; the next one completes it."""
    mounted = await agents_place.up(agents_place.agent(), agents_place.request())
    strikes, at, old = 0, ["the first"], content(mounted)
    while at:
        agents_place.world.version = f"{strikes + 2}"
        new = {name: agents_place.world.version.encode() for name in old}
        with struck(agents_place.root, strikes) as at:
            await agents_place.up(agents_place.agent(), agents_place.request())
        assert content(mounted) in (old, new), f"after call {strikes}: {at}"
        await agents_place.up(agents_place.agent(), agents_place.request())
        assert content(mounted) == new
        strikes, old = strikes + 1, new
    await agents_place.down(agents_place.agent(), agents_place.request())
    assert agents_place.left() == []


async def test_pods_do_not_meet(place: Place) -> None:
    """Two pods with a volume of the same name: one goes, and the other's stays as it is."""
    agent, one, other = place.agent(), place.request("one"), place.request("other")
    await place.up(agent, one)
    mounted = await place.up(agent, other)
    if place.subject.written == "pod":
        (mounted.host_path / "file").write_text("the other's")
    before = content(mounted) if place.subject.written != "host" else {}
    await agent.unpublish("one", one.directory_name)
    assert (content(mounted) if before else {}) == before
    await place.down(agent, other)
    assert place.left() == []


@pytest.mark.parametrize("name", ["..", ".", "", "../../../victim", "a/b", "/proc/victim", "a\0b"])
async def test_names_do_not_lead_elsewhere(own_place: Place, tmp_path: Path, name: str) -> None:
    """Of pods and of volumes, from manifests or from the API: refused, and nothing outside is made, mounted or removed."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/file").write_text("precious")
    agent = own_place.agent()
    for uid, volume in ((name, "v"), ("u", name)):
        with pytest.raises(VolumeError):
            await agent.publish(own_place.request(uid, name=volume))
        with pytest.raises(VolumeError):
            await agent.unpublish(uid, volume)
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == [tmp_path / "victim/file"]
    assert own_place.mounts() == []


async def test_the_pods_group(place: Place) -> None:
    """fsGroup reaches what is in the volume: to write in what is the pod's, to read in what the agent fills."""
    request = place.request(fs_group=GROUP)
    mounted = await place.up(place.agent(), request)
    found = mounted.host_path.stat()
    if place.subject.group == "":
        assert found.st_gid != GROUP
    else:
        assert found.st_gid == GROUP
        assert found.st_mode & stat.S_ISGID
        assert stat.S_IMODE(found.st_mode) & 0o070 == 0o070
    if place.subject.group == "read":
        statuses = [path.stat() for path in mounted.host_path.rglob("*") if path.is_file()]
        assert {(status.st_gid, status.st_mode & 0o070) for status in statuses} == {(GROUP, 0o040)}
    await place.down(place.agent(), request)


async def test_what_the_agent_fills_is_read_only(place: Place) -> None:
    """To containers, whatever they ask for; what is theirs is not."""
    request = place.request()
    mounted = await place.up(place.agent(), request)
    assert mounted.read_only_forced is (place.subject.written == "agent")
    await place.down(place.agent(), request)


async def test_usage(place: Place) -> None:
    """It says how much there is and how much of it is used; what is written shows."""
    agent, request = place.agent(), place.request()
    mounted = await place.up(agent, request)
    before = await agent.usage(mounted)
    if not place.subject.measured:
        assert before is None
    elif place.subject.block:
        assert before is not None
        assert replace(before, abnormal=None, condition="") == VolumeUsage(capacity_bytes=before.capacity_bytes)
        with mounted.host_path.open("rb") as device:
            assert device.seek(0, os.SEEK_END) == before.capacity_bytes
    else:
        assert before is not None and before.used_bytes is not None and before.inodes_used is not None
        assert before.capacity_bytes >= before.used_bytes
        if place.subject.written == "pod":
            (mounted.host_path / "file").write_bytes(bytes(1 << 20))
            (mounted.host_path / "again").hardlink_to(mounted.host_path / "file")
            after = await agent.usage(mounted)
            assert after is not None and after.used_bytes is not None and after.inodes_used is not None
            assert 1 << 20 <= after.used_bytes - before.used_bytes < 2 << 20
            assert after.inodes_used - before.inodes_used in (1, 2)  # tmpfs counts names
    await place.down(agent, request)


async def test_what_containers_leave_behind_goes_and_nothing_else(pods_place: Place, tmp_path: Path) -> None:
    """Links out of the volume, folders that nobody may enter, names that are no text."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/file").write_text("precious")
    request = pods_place.request()
    path = (await pods_place.up(pods_place.agent(), request)).host_path
    (path / "d/e").mkdir(parents=True)
    (path / "d/link").symlink_to(tmp_path / "victim")
    (path / "d/e" / os.fsdecode(b"\xff\n")).write_text("x")
    (path / "d/e").chmod(0)
    os.mkfifo(path / "pipe")
    await pods_place.down(pods_place.agent(), request)
    assert pods_place.left() == []
    assert (tmp_path / "victim/file").read_text() == "precious"


async def test_a_mount_in_it_is_in_the_way(pods_place: Place, tmp_path: Path) -> None:
    """What a container mounted in its volume is told, and keeps its data; the volume goes when it is gone."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/file").write_text("precious")
    request = pods_place.request()
    mounted = await pods_place.up(pods_place.agent(), request)
    inside = mounted.host_path / "inside"
    inside.mkdir()
    syscalls.mount(str(tmp_path / "victim"), inside, flags=syscalls.MS_BIND)
    with pytest.raises((VolumeError, MountError)):
        await pods_place.agent().unpublish("u", request.directory_name)
    assert (inside / "file").read_text() == "precious"
    unmount_all(inside)
    await pods_place.down(pods_place.agent(), request)
    assert (tmp_path / "victim/file").read_text() == "precious"
