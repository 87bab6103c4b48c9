"""Sizes, media and type checks, without mounting anything."""

import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import EmptyDirVolumeSource, PersistentVolume, Volume

from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.empty_dir import huge_page_size_bytes, tmpfs_size_bytes
from nodeagent.volumes.host_path import HostPathPlugin, check_type


@pytest.mark.parametrize(
    ("node", "pod_bytes", "limit", "expected"),
    [
        ("10Mi", 0, None, 10 << 20),
        ("10Mi", 5 << 20, None, 5 << 20),
        ("10Mi", 20 << 20, None, 10 << 20),
        ("10Mi", 5 << 20, "1Mi", 1 << 20),
        ("10Mi", 5 << 20, "8Mi", 5 << 20),
        ("10Mi", 0, "0", 10 << 20),
        ("", 0, None, 0),
        ("", 0, "1500k", 1_500_000),
    ],
)
def test_size_of_a_memory_volume(pod_of: Any, node: str, pod_bytes: int, limit: str | None, expected: int) -> None:
    """The smallest of node, pod and volume limit, of those there are."""
    source = EmptyDirVolumeSource(medium="Memory", sizeLimit=limit)
    limits = {"resources": {"limits": {"memory": str(pod_bytes)}}} if pod_bytes else {}
    pod = pod_of({"containers": [{"name": "c", **limits}]})
    assert tmpfs_size_bytes(pod, source, {"memory": node} if node else {}) == expected


@pytest.mark.parametrize(
    ("medium", "sizes", "expected"),
    [
        ("HugePages", ["2Mi"], 2 << 20),
        ("HugePages", ["2Mi", "2Mi"], 2 << 20),
        ("HugePages-1Gi", ["2Mi", "1Gi"], 1 << 30),
        ("HugePages", [], "needs requests of exactly one huge page size, the pod has none"),
        ("HugePages", ["2Mi", "1Gi"], "the pod has several"),
        ("HugePages-1Gi", ["2Mi"], "no container of the pod requests huge pages of this size"),
        ("HugePages-big", ["2Mi"], "medium HugePages-big: quantities must match"),
    ],
)
def test_page_size_of_a_huge_page_volume(pod_of: Any, medium: str, sizes: list[str], expected: int | str) -> None:
    """It is what the containers request, or what the medium says if they request that; else an error."""
    containers = [
        {"name": f"c{index}", "resources": {"limits": {f"hugepages-{size}": "4Mi"}}} for index, size in enumerate(sizes)
    ]
    pod = pod_of({"containers": containers})
    if isinstance(expected, int):
        assert huge_page_size_bytes(pod, medium) == expected
    else:
        with pytest.raises(VolumeError, match=expected):
            huge_page_size_bytes(pod, medium)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("dir")
    listener = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(tmp_path)  # socket paths are short
    listener.bind("sock")
    listener.close()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "wanted", "noun"),
    [
        ("dir", "Directory", ""),
        ("link", "Directory", ""),
        ("dir", "DirectoryOrCreate", ""),
        ("file", "File", ""),
        ("file", "FileOrCreate", ""),
        ("sock", "Socket", ""),
        ("new/deep", "DirectoryOrCreate", ""),
        ("new-file", "FileOrCreate", ""),
        ("file", "Directory", "directory"),
        ("file", "DirectoryOrCreate", "directory"),
        ("dir", "File", "file"),
        ("dir", "FileOrCreate", "file"),
        ("file", "Socket", "socket file"),
        ("file", "CharDevice", "character device"),
        ("file", "BlockDevice", "block device"),
        ("none", "Directory", "directory"),
        ("none", "File", "file"),
    ],
)
def test_type_checks(places: Path, name: str, wanted: str, noun: str) -> None:
    """What is there must be of the type, links followed; missing paths are made for the OrCreate types only."""
    path = places / name
    if not noun:
        check_type(path, wanted)
        assert path.exists()
        return
    with pytest.raises(VolumeError) as caught:
        check_type(path, wanted)
    assert str(caught.value) == f"hostPath type check failed: {path} is not a {noun}"


def test_a_file_is_not_made_without_its_directory(tmp_path: Path) -> None:
    """FileOrCreate needs the parent to exist."""
    with pytest.raises(VolumeError, match="No such file or directory"):
        check_type(tmp_path / "none/file", "FileOrCreate")


def test_devices_are_recognised() -> None:
    """/dev/null is a character device."""
    check_type(Path("/dev/null"), "CharDevice")


async def test_host_paths_do_not_climb(pod_of: Any) -> None:
    """A path with .. is refused before it is looked at."""
    pod = pod_of({"containers": [], "volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]})
    request = VolumeRequest(pod=pod, source=VolumeSource(volume=pod.spec.volumes[0]))
    with pytest.raises(VolumeError, match=r"must not contain '\.\.'"):
        await HostPathPlugin().publish(request)


@pytest.mark.parametrize(
    ("spec", "refusal"),
    [
        ({}, None),
        ({"mountOptions": ["noatime"]}, "mount options are not supported for this volume type"),
        ({"volumeMode": "Block"}, "not its type"),
    ],
)
async def test_a_host_path_that_a_claim_leads_to(
    pod_of: Any, tmp_path: Path, spec: dict[str, Any], refusal: str | None
) -> None:
    """As one that the pod declares; it is no block device, and not mounted, so it takes no options."""
    bound = {"metadata": {"name": "pv"}, "spec": {"hostPath": {"path": str(tmp_path), "type": "Directory"}, **spec}}
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
    source = VolumeSource(
        volume=msgspec.convert(volume, Volume), persistent_volume=msgspec.convert(bound, PersistentVolume)
    )
    plugin, request = HostPathPlugin(), VolumeRequest(pod=pod_of({"containers": []}), source=source)
    assert plugin.supports(source) == (refusal != "not its type")
    if refusal is None:
        assert await plugin.publish(request) == MountedVolume(host_path=tmp_path, directory_name="pv")
    elif plugin.supports(source):
        with pytest.raises(VolumeError, match=refusal):
            await plugin.publish(request)
