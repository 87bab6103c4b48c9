"""What is looked for when the volumes of a case are gone."""

from pathlib import Path

from csi.testing import leftovers


def test_targets_that_are_there(tmp_path: Path) -> None:
    """A target that the driver has not removed is told, its parent, which is the tester's own, is not."""
    (tmp_path / "pods/1/mount").mkdir(parents=True)
    (tmp_path / "pods/2").mkdir()
    assert leftovers.left_below(tmp_path) == [f"not removed: {tmp_path}/pods/1/mount"]


def test_disks_by_their_number(tmp_path: Path) -> None:
    """Name and `diskseq` of each; what has no number is left out."""
    for name in ("loop0", "sda", "old"):
        (tmp_path / name).mkdir()
    (tmp_path / "loop0/diskseq").write_text("12\n")
    (tmp_path / "sda/diskseq").write_text("3\n")
    assert leftovers.disks(tmp_path) == {"loop0": "12", "sda": "3"}


async def test_a_disk_that_has_gone_is_not_missed() -> None:
    """Neither one that is not there any more, nor one whose name others have."""
    assert await leftovers.left_disks({"csitest-no-such-disk": "1"}) == []
    assert await leftovers.left_disks(dict.fromkeys(leftovers.disks(), "-1")) == []
