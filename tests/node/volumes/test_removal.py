"""Ending a pod's folder on the real kernel: mounts are told and never crossed, whatever the folder is called."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from agent_pods import agent_pod

from nodeagent.pods.paths import PodPaths
from nodeagent.pods.steps.directories import DirectoriesStep
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.manager import VolumeManager
from nodeagent.volumes.pod_folder import remove_pod_folder
from runtimes.linux import syscalls
from runtimes.linux.mounts import MountError, mounts_below, shown, unmount_all
from runtimes.linux.removal import remove_empty_tree, remove_tree
from runtimes.linux.tree_walk import TreeWalk

pytestmark = pytest.mark.node

ROOTS = [b"plain", b"with space", b"tab\tand\nbreak", b"back\\slash\\040", b"\xff\xfe", "é\u2028".encode()]
Bind = Callable[[Path, Path], None]


@pytest.fixture
def bind() -> Iterator[Bind]:
    """Bind one path on another, until the end of the test."""
    made: list[Path] = []

    def bind(source: Path, target: Path) -> None:
        descriptor = os.open(source, os.O_PATH)
        syscalls.mount(f"/proc/self/fd/{descriptor}", target, flags=syscalls.MS_BIND)
        os.close(descriptor)
        made.append(target)

    yield bind
    for target in reversed(made):
        unmount_all(target)


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    folder = tmp_path / "precious"
    (folder / "empty").mkdir(parents=True)
    (folder / "data").write_text("x")
    return folder


def everything(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


@pytest.mark.parametrize("name", ROOTS)
@pytest.mark.parametrize("inside", ["volumes/some~driver/pv/mount", "containers/c", "volume-subpaths/v/c/0"])
async def test_a_folder_with_a_mount_stays_whole(
    tmp_path: Path, precious: Path, bind: Bind, name: bytes, inside: str
) -> None:
    """The teardown of an ordinary pod refuses before it has removed anything, and names the mount; later it goes on."""
    root = tmp_path / os.fsdecode(name)
    pod_dir = root / "pods/u"
    for folder in ("volumes", "plugins/x", inside):
        (pod_dir / folder).mkdir(parents=True, exist_ok=True)
    (pod_dir / "etc-hosts").write_text("x")
    (tmp_path / "link").symlink_to(root)
    bind(precious, pod_dir / inside)
    before = everything(root)
    paths = PodPaths(root_dir=tmp_path / "link", pod_logs_dir=tmp_path / "logs", container_logs_dir=tmp_path / "links")
    ending: Any = SimpleNamespace(
        uid="u", keep_records=False, pod=agent_pod({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}})
    )
    with pytest.raises(VolumeError) as caught:
        await DirectoriesStep(paths).undo(ending)
    assert str(caught.value) == (
        f"{tmp_path}/link/pods/u still holds the mount {shown(os.path.realpath(root))}/pods/u/{inside}"
    )
    assert everything(root) == before
    unmount_all(pod_dir / inside)
    await DirectoriesStep(paths).undo(ending)
    assert os.listdir(root / "pods") == []
    assert everything(precious) == ["data", "empty"]


@pytest.mark.parametrize("remove", [remove_tree, remove_empty_tree])
@pytest.mark.parametrize("name", ROOTS)
def test_no_mount_is_crossed(tmp_path: Path, precious: Path, bind: Bind, remove: Any, name: bytes) -> None:
    """A bind mount of the same file system, at the top or below, is left as it is and named: it may be full of empty folders."""
    tree = tmp_path / os.fsdecode(name)
    (tree / "a/b").mkdir(parents=True)
    (precious / "data").unlink()
    for place in (tree / "a/b", tree):
        bind(precious, place)
        assert mounts_below(tree) == [place]
        with pytest.raises(MountError) as caught:
            remove(tree)
        assert str(caught.value) == f"{shown(place)} is a mount point"
        unmount_all(place)
    assert everything(precious) == ["empty"]
    remove(tree)
    assert not tree.exists()


def test_a_mount_that_comes_meanwhile_is_not_crossed(
    tmp_path: Path, precious: Path, bind: Bind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mounted after the directory was looked at and before it is entered."""
    (tmp_path / "tree/d/inner").mkdir(parents=True)
    enter = TreeWalk.enter

    def mounting(self: TreeWalk, name: str) -> None:
        bind(precious, tmp_path / "tree/d")
        enter(self, name)

    monkeypatch.setattr(TreeWalk, "enter", mounting)
    with pytest.raises(MountError) as caught:
        remove_tree(tmp_path / "tree")
    assert str(caught.value) == f"{tmp_path}/tree/d is a mount point"
    assert everything(precious) == ["data", "empty"]


def test_a_mount_on_a_file_is_kept(tmp_path: Path, precious: Path, bind: Bind) -> None:
    """A container's file may be mounted over as well."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("own")
    bind(precious / "data", tmp_path / "tree/file")
    with pytest.raises(MountError) as caught:
        remove_tree(tmp_path / "tree")
    assert str(caught.value) == f"{tmp_path}/tree/file is a mount point"
    assert (precious / "data").read_text() == "x"


async def test_a_volume_of_an_unknown_plugin_is_never_emptied(
    manager: VolumeManager, root: Path, precious: Path, bind: Bind
) -> None:
    """While it is in use everything stays; once it can be unmounted it is, and what was mounted keeps its data."""
    layout = Layout(root)
    volume = layout.volume_dir("u", "some.io/driver", "pv")
    (volume / "mount").mkdir(parents=True)
    (volume / "vol_data.json").write_text("{}")
    bind(precious, volume / "mount")
    (layout.pod_dir("u") / "etc-hosts").write_text("x")
    before = everything(root)
    with (volume / "mount/data").open():
        with pytest.raises(ExceptionGroup) as caught:
            await manager.unmount("u")
        assert "mount failed: Device or resource busy" in str(caught.value.exceptions[0])
        with pytest.raises(VolumeError, match="still holds the mount"):
            remove_pod_folder(layout.pod_dir("u"))
        assert everything(root) == before
    with pytest.raises(ExceptionGroup) as caught:
        await manager.unmount("u")
    assert str(caught.value.exceptions[0]) == f"{volume} of an unknown volume type is not empty"
    with pytest.raises(VolumeError, match=r"vol_data.json is not a directory: it is kept"):
        remove_pod_folder(layout.pod_dir("u"))
    assert everything(precious) == ["data", "empty"]
    assert (layout.pod_dir("u") / "etc-hosts").exists()
    (volume / "vol_data.json").unlink()
    await manager.unmount("u")
    remove_pod_folder(layout.pod_dir("u"))
    assert everything(root) == ["pods"]
