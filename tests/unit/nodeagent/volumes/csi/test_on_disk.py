"""What CSI volumes leave on the disk, and what is made of it."""

import json
from pathlib import Path

import pytest

from csi import errors
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.csi import places, vol_data
from nodeagent.volumes.csi.failures import DriverError
from nodeagent.volumes.csi.layout import CSILayout
from nodeagent.volumes.csi.vol_data import VolData
from nodeagent.volumes.layout import Layout

WHOLE = VolData(
    driver="d", handle="h", spec_name="pv", node_name="n", attachment="csi-1", ephemeral=True, label="u:r:t:s0"
)


def test_paths(tmp_path: Path) -> None:
    """Those that drivers in the field have been told for years (docs/facts/storage.md 3)."""
    layout, top = CSILayout(Layout(tmp_path)), tmp_path / "plugins/kubernetes.io/csi"
    digest = "aaa9402664f1a41f40ebbc52c9993eb66aeb366602958fdfaa283b71e64db123"  # of "h"
    assert layout.staged_mount("d", "h") == top / "d" / digest / "globalmount"
    assert layout.published_mount("u", "pv") == tmp_path / "pods/u/volumes/kubernetes.io~csi/pv/mount"
    assert layout.staged_device("pv") == top / "volumeDevices/staging/pv"
    assert layout.published_device("pv", "u") == top / "volumeDevices/publish/pv/u"
    assert layout.device_data("pv") == top / "volumeDevices/pv/data"
    assert layout.device_map("pv") == top / "volumeDevices/pv/dev"
    assert layout.device_link("u", "pv") == tmp_path / "pods/u/volumeDevices/kubernetes.io~csi/pv"


@pytest.mark.parametrize("name", ["..", "a/b", "", "a\0b"])
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    """A volume that is called so is refused, wherever its name would become a path."""
    layout = CSILayout(Layout(tmp_path))
    for path in (layout.staged_device, layout.device_data, lambda bad: layout.published("u", bad)):
        with pytest.raises(VolumeError):
            path(name)


def test_notes(tmp_path: Path) -> None:
    """What was written is read again; the folder is made, and goes with the note."""
    folder = tmp_path / "a/b"
    vol_data.write(folder, WHOLE.published())
    assert vol_data.read(folder) == WHOLE
    assert json.loads((folder / "vol_data.json").read_text())["volumeLifecycleMode"] == "Ephemeral"
    vol_data.remove(folder)
    assert not folder.exists()
    vol_data.remove(folder)
    assert vol_data.read(folder) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"driverName": 1}', '{"driverName": "d"}', "\xff"])
def test_notes_that_are_broken(tmp_path: Path, text: str) -> None:
    """They are said to be, and nothing is made up."""
    (tmp_path / "vol_data.json").write_text(text, encoding="latin-1")
    with pytest.raises(VolumeError):
        vol_data.read(tmp_path)


def test_targets_that_are_given_up(tmp_path: Path) -> None:
    """An empty folder, a device's file and a link go; what has something in it is somebody's."""
    folder, file, link = tmp_path / "folder", tmp_path / "file", tmp_path / "link"
    folder.mkdir()
    file.touch()
    link.symlink_to("/nowhere")
    for each in (folder, file, link, tmp_path / "nothing"):
        places.clear(each, "d")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full/data").touch()
    with pytest.raises(VolumeError, match="driver d says that the volume is gone"):
        places.clear(tmp_path / "full", "d")
    assert (tmp_path / "full/data").exists()


@pytest.mark.parametrize(
    ("code", "shown", "refused"),
    [
        ("INTERNAL", "Internal", True),
        ("FAILED_PRECONDITION", "FailedPrecondition", True),
        ("NOT_FOUND", "NotFound", True),
        ("UNIMPLEMENTED", "Unimplemented", True),
        ("CANCELLED", "Canceled", False),
        ("DEADLINE_EXCEEDED", "DeadlineExceeded", False),
        ("UNAVAILABLE", "Unavailable", False),
        ("RESOURCE_EXHAUSTED", "ResourceExhausted", False),
        ("ABORTED", "Aborted", False),
    ],
)
def test_errors(code: str, shown: str, refused: bool) -> None:
    """In Go's words; after some it is certain that nothing has happened (docs/facts/storage.md 10.4)."""
    error = errors.of_status(code, "no", method="NodeStageVolume")
    assert errors.as_go(error) == f"rpc error: code = {shown} desc = no"
    failure = DriverError("d", error)
    assert failure.refused is refused
    assert str(failure) == f"rpc error: code = {shown} desc = no (NodeStageVolume of driver d)"


def test_an_answer_that_cannot_be_read_is_no_refusal() -> None:
    """The driver may have done what it was asked."""
    assert not DriverError("d", errors.BadAnswer("what?", method="NodeStageVolume")).refused


def test_a_driver_that_cannot_be_asked_has_not_refused() -> None:
    """It may have heard the same call before, and be at work on it."""
    assert not DriverError("d", errors.Unreachable("nobody", method="NodeStageVolume")).refused
