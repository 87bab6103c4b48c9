"""A group that is given to all of a volume: on a directory, and the group that the test has itself."""

import os
import stat
from pathlib import Path

from csi.driver import mount_group


def _give(root: Path) -> None:
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        mount_group.give(fd, os.getgid())
    finally:
        os.close(fd)


def test_all_of_it_is_the_groups(tmp_path: Path) -> None:
    """Files are read and written by it, directories hand it on; where a link leads to nothing changes."""
    root, outside = tmp_path / "volume", tmp_path / "outside"
    (root / "a/b").mkdir(parents=True, mode=0o700)
    (root / "a/file").touch(mode=0o600)
    outside.touch(mode=0o600)
    (root / "link").symlink_to(outside)
    root.chmod(0o700)
    _give(root)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root, root / "a", root / "a/b", root / "a/file")}
    assert {name: mode & 0o2070 for name, mode in modes.items()} == {
        "volume": 0o2070,
        "a": 0o2070,
        "b": 0o2070,
        "file": 0o060,
    }
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600


def test_what_was_given_is_not_given_again(tmp_path: Path) -> None:
    """A root with the group and its bits says that all has been done."""
    _give(tmp_path)
    (tmp_path / "file").touch(mode=0o600)
    _give(tmp_path)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
