"""subPath mounts on the real kernel, with containers that do not play fair."""

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agent_pods import agent_pod

from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.container_mounts import MountInputs, container_mounts, prepare_subpaths
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.manager import VolumeManager
from nodeagent.volumes.pod_folder import remove_pod_folder
from proto import cri_pb2 as cri
from runtimes.linux.mounts import is_mount_point

pytestmark = pytest.mark.node


class Place:
    """A pod with one emptyDir, mounted with a subPath into its container."""

    def __init__(self, root: Path, manager: VolumeManager) -> None:
        self.layout = Layout(root)
        self.manager = manager
        self.volume = root / "pods/uid-1/volumes/kubernetes.io~empty-dir/data"

    def pod(self, **mount: Any) -> AgentPod:
        volume_mount = {"name": "data", "mountPath": "/data", **mount}
        return agent_pod(
            {
                "metadata": {"name": "p", "namespace": "ns", "uid": "uid-1"},
                "spec": {
                    "containers": [{"name": "main", "volumeMounts": [volume_mount]}],
                    "volumes": [{"name": "data", "emptyDir": {}}],
                },
            },
        )

    async def mounts(self, **mount: Any) -> list[cri.Mount]:
        pod = self.pod(**mount)
        mounted, environment = await self.manager.mount(pod), {"POD": "p-0"}
        (container,) = pod.spec.containers
        await prepare_subpaths(container, layout=self.layout, uid="uid-1", mounted=mounted, environment=environment)
        return container_mounts(
            pod, container, MountInputs(layout=self.layout, mounted=mounted, environment=environment)
        )


@pytest.fixture
async def place(root: Path, manager: VolumeManager) -> AsyncIterator[Place]:
    place = Place(root, manager)
    await manager.mount(place.pod())
    yield place
    await manager.unmount("uid-1")
    remove_pod_folder(root / "pods/uid-1")
    assert not (root / "pods/uid-1").exists()


async def test_a_missing_directory_is_made_like_the_volume(place: Place, root: Path) -> None:
    """Each missing component gets the volume's permissions; the container gets a bind mount of the last."""
    (mount,) = await place.mounts(subPath="a/b")
    target = root / "pods/uid-1/volume-subpaths/data/main/0"
    assert mount == cri.Mount(container_path="/data", host_path=str(target), selinux_relabel=True)
    assert is_mount_point(target)
    (place.volume / "a/b/file").write_text("x")
    assert (target / "file").read_text() == "x"
    assert [stat.S_IMODE((place.volume / path).stat().st_mode) for path in ("a", "a/b")] == [0o777, 0o777]


async def test_a_file_is_bound_as_a_file(place: Place) -> None:
    """An existing file appears as a file; a repeated start uses the same mount."""
    (place.volume / "f").write_text("x")
    (first,) = await place.mounts(subPath="f")
    (second,) = await place.mounts(subPath="f")
    assert first == second
    assert Path(first.host_path).read_text() == "x"
    assert Path("/proc/mounts").read_text().count(first.host_path) == 1


async def test_an_expression_is_expanded_from_the_environment(place: Place) -> None:
    """subPathExpr takes the container's variables; one without a value is an error."""
    await place.mounts(subPathExpr="logs/$(POD)")
    assert (place.volume / "logs/p-0").is_dir()
    with pytest.raises(VolumeError, match="missing value for NONE"):
        await place.mounts(subPathExpr="$(NONE)")


async def test_links_inside_the_volume_are_followed(place: Place) -> None:
    """A relative link that stays inside leads to its target, and missing parts below it are made there."""
    (place.volume / "real").mkdir()
    (place.volume / "link").symlink_to("real")
    await place.mounts(subPath="link/deeper")
    assert (place.volume / "real/deeper").is_dir()


@pytest.mark.parametrize("target", ["/etc", "../../../../../../../../../../etc", "/proc/self/root/etc"])
@pytest.mark.parametrize("sub_path", ["link", "link/new"])
async def test_links_out_of_the_volume_are_refused(place: Place, target: str, sub_path: str) -> None:
    """Whatever a container plants, no subPath leads out of the volume, and nothing is made outside."""
    (place.volume / "link").symlink_to(target)
    with pytest.raises(VolumeError, match='failed to prepare subPath for volumeMount "data" of container "main"'):
        await place.mounts(subPath=sub_path)
    assert not Path("/etc/new").exists()


@pytest.mark.parametrize(
    ("sub_path", "message"),
    [("/abs", "must not be an absolute path"), ("a/../b", "must not contain '..'"), ("a\0b", "contain a NUL")],
)
async def test_climbing_paths_are_refused(place: Place, sub_path: str, message: str) -> None:
    """Absolute paths and .. never reach the volume."""
    with pytest.raises(VolumeError, match=message):
        await place.mounts(subPath=sub_path)


async def test_a_file_in_the_way_is_an_error(place: Place) -> None:
    """A component that is a file cannot be walked through; the text shows no path of the host."""
    (place.volume / "f").write_text("x")
    with pytest.raises(VolumeError) as caught:
        await place.mounts(subPath="f/below")
    assert str(caught.value) == ('failed to create subPath directory for volumeMount "data" of container "main"')


async def test_a_dangling_link_is_not_written_through(place: Place, tmp_path: Path) -> None:
    """A link to a place that does not exist yet makes nothing appear there."""
    (place.volume / "link").symlink_to(tmp_path / "victim")
    with pytest.raises(VolumeError):
        await place.mounts(subPath="link")
    assert not (tmp_path / "victim").exists()


async def test_teardown_never_enters_what_is_mounted_in_a_volume(place: Place, tmp_path: Path) -> None:
    """A mount that a container left inside a volume stops the deletion, and its content is safe."""
    from runtimes.linux import syscalls

    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("x")
    inside = place.volume / "mounted"
    inside.mkdir()
    syscalls.mount(str(victim), inside, flags=syscalls.MS_BIND)
    try:
        with pytest.raises(ExceptionGroup) as caught:
            await place.manager.unmount("uid-1")
        assert "is a mount point" in str(caught.value.exceptions[0])
        assert os.listdir(victim) == ["precious"]
    finally:
        syscalls.umount(inside)
