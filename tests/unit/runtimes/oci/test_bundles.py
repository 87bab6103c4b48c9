"""What is left of a container's directories when it goes."""

from pathlib import Path

import pytest

from runtimes.linux import mountinfo, removal
from runtimes.linux.mounts import MountError
from runtimes.oci import bundles


@pytest.mark.parametrize("mounted", [False, True])
def test_mounts_are_looked_for_where_one_is_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounted: bool
) -> None:
    """The directory goes with what is mounted in it, the innermost first; the mount table is not read without need."""
    directory = tmp_path / "c"
    (directory / "volume0").mkdir(parents=True)
    points = [str(directory / "volume0"), f"{directory}other/a", str(directory / "volume0" / "b")] if mounted else []
    asked: list[str] = []

    def remove_tree(path: Path) -> None:
        if any(point.startswith(f"{path}/") for point in points):
            raise MountError("busy")
        removal.remove_tree(path)

    def umount(point: str, flags: int) -> None:
        asked.append(point)
        points.remove(point)

    def table() -> list[str]:
        asked.append("table")
        return list(points)

    monkeypatch.setattr(bundles, "remove_tree", remove_tree)
    monkeypatch.setattr(bundles.syscalls, "umount", umount)
    monkeypatch.setattr(mountinfo, "mount_points", table)
    bundles.remove_with_mounts(directory)
    inner = [str(directory / "volume0" / "b"), str(directory / "volume0")]
    assert (asked, directory.exists()) == (["table", *inner] if mounted else [], False)
