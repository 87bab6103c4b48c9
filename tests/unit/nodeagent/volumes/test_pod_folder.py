"""Removing what forgotten pods left, without ever deleting data."""

from pathlib import Path

import pytest

from nodeagent.volumes import device_link
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.layout import Layout, safe_component
from nodeagent.volumes.on_disk import FoundVolume, volumes_of
from nodeagent.volumes.pod_folder import force_clean, remove_pod_folder
from runtimes.linux.mounts import is_mount_point


def test_a_pods_directory_goes_with_its_files(tmp_path: Path) -> None:
    """Termination logs, hosts file and empty volume directories are removed; a missing pod is fine."""
    pod = tmp_path / "pods/u"
    for directory in ("containers/c", "volumes/kubernetes.io~csi/pv", "plugins/x/y", "volume-subpaths/v/c"):
        (pod / directory).mkdir(parents=True)
    (pod / "containers/c/1234").write_text("x")
    (pod / "etc-hosts").write_text("x")
    remove_pod_folder(tmp_path / "pods/u")
    assert not pod.exists()
    remove_pod_folder(tmp_path / "pods/u")


@pytest.mark.parametrize("path", ["volumes/p/v/vol_data.json", "volumes/p/v/mount/data", "volume-subpaths/v/c/0"])
def test_a_file_below_volumes_stops_the_removal(tmp_path: Path, path: str) -> None:
    """It may be somebody's data: the error names it, it stays, and so does the rest of the folder."""
    file = tmp_path / "pods/u" / path
    file.parent.mkdir(parents=True)
    file.write_text("precious")
    (tmp_path / "pods/u/etc-hosts").write_text("x")
    with pytest.raises(VolumeError) as caught:
        remove_pod_folder(tmp_path / "pods/u")
    assert str(caught.value) == f"{file} is not a directory: it is kept"
    assert file.read_text() == "precious"
    assert (tmp_path / "pods/u/etc-hosts").exists()


def test_a_link_below_volumes_is_not_followed(tmp_path: Path) -> None:
    """A link to a directory is no empty directory."""
    (tmp_path / "elsewhere").mkdir()
    volumes = tmp_path / "pods/u/volumes/p"
    volumes.mkdir(parents=True)
    (volumes / "v").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VolumeError):
        remove_pod_folder(tmp_path / "pods/u")
    assert (tmp_path / "elsewhere").is_dir()


def test_force_clean_removes_only_empty_directories(tmp_path: Path) -> None:
    """A volume of an unknown type: an empty mount point goes, data stays."""
    layout, volumes = Layout(tmp_path), tmp_path / "pods/u/volumes/some~driver"
    (volumes / "v/mount").mkdir(parents=True)
    force_clean(layout, "u", FoundVolume("some~driver", "v"))
    assert not (volumes / "v").exists()
    (volumes / "w").mkdir()
    (volumes / "w/data").write_text("x")
    with pytest.raises(VolumeError, match="unknown volume type is not empty"):
        force_clean(layout, "u", FoundVolume("some~driver", "w"))


def test_a_device_of_an_unknown_type_keeps_the_folder(tmp_path: Path) -> None:
    """What leads to it tells that something is still made of it: it goes with what has made it, and then the folder does."""
    layout = Layout(tmp_path)
    link = layout.device_link("u", "some/driver", "pv")
    device_link.make(link, tmp_path / "first")
    device_link.make(link, tmp_path / "device")
    assert device_link.target(link) == tmp_path / "device"
    assert volumes_of(layout, "u") == [FoundVolume("some~driver", "pv")]
    with pytest.raises(VolumeError, match="volume pv is a block device of an unknown volume type"):
        force_clean(layout, "u", FoundVolume("some~driver", "pv"))
    with pytest.raises(VolumeError, match="volumeDevices/some~driver/pv is not a directory: it is kept"):
        remove_pod_folder(tmp_path / "pods/u")
    for _ in range(2):
        device_link.remove(link)
    assert device_link.target(link) is None
    remove_pod_folder(tmp_path / "pods/u")


def test_what_is_no_link_to_a_device_is_kept(tmp_path: Path) -> None:
    """It is nobody's to remove."""
    link = Layout(tmp_path).device_link("u", "some/driver", "pv")
    link.mkdir(parents=True)
    with pytest.raises(VolumeError, match="is no link to a device, and is kept"):
        device_link.remove(link)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../../etc", "a\0b"])
def test_names_from_manifests_cannot_lead_elsewhere(tmp_path: Path, name: str) -> None:
    """UIDs and volume names are single path components, or refused."""
    with pytest.raises(VolumeError):
        safe_component(name)
    with pytest.raises(VolumeError):
        Layout(tmp_path).volume_dir(name, "kubernetes.io/secret", "v")


def test_mount_points_are_told_from_directories(tmp_path: Path) -> None:
    """/proc is one, a plain directory and a missing path are not."""
    assert is_mount_point(Path("/proc"))
    assert not is_mount_point(tmp_path)
    assert not is_mount_point(tmp_path / "none")
