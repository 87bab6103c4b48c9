"""The root directory is a shared mount while the agent runs: what a driver mounts in its own namespace arrives."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.volumes.propagation import shared_root
from runtimes.linux import syscalls
from runtimes.linux.mounts import is_mount_point, mounts_below, unmount_all, unshare

pytestmark = pytest.mark.node


@pytest.fixture(params=[b"plain", b"a b\\\n\xff"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A root directory on a mount that is nobody's but this test's, and private."""
    private = tmp_path / "private"
    private.mkdir()
    syscalls.mount("none", private, "tmpfs")
    syscalls.mount("none", private, flags=syscalls.MS_PRIVATE)
    root = private / os.fsdecode(request.param)
    (root / "pods").mkdir(parents=True)
    yield root
    for point in reversed(mounts_below(private)):
        unmount_all(point)


def mount_as_a_driver(target: Path) -> None:
    """In a namespace of its own, of which mounts propagate back (mountPropagation Bidirectional)."""
    script = 'mount -t tmpfs driver "$0"'
    subprocess.run(
        ["unshare", "-m", "--propagation", "unchanged", "sh", "-c", script, os.fsencode(target)], check=True, timeout=30
    )


def test_mounts_of_drivers_arrive(root: Path) -> None:
    """Without it they do not; what is mounted when the agent ends stays; the next agent takes over, and gives back."""
    mount_as_a_driver(root / "pods")
    assert not is_mount_point(root / "pods")
    with shared_root(root):
        mount_as_a_driver(root / "pods")
        assert is_mount_point(root / "pods")
    assert mounts_below(root) == [root, root / "pods"]
    lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY)  # as the next agent has on it
    with shared_root(root):
        assert mounts_below(root) == [root, root / "pods"]
        unmount_all(root / "pods")
    assert mounts_below(root) == []
    assert os.path.samestat(os.fstat(lock), root.stat())
    os.close(lock)


def test_a_mount_that_is_shared_already_is_left_alone(root: Path) -> None:
    """As on every host of systemd: nothing is bound, and nothing is taken down."""
    syscalls.mount("none", root.parent, flags=syscalls.MS_SHARED)
    with shared_root(root):
        assert mounts_below(root) == []
    assert mounts_below(root.parent) == [root.parent]


def test_a_file_system_of_its_own_is_shared_where_it_is(root: Path) -> None:
    """It is made shared, and it stays mounted, whatever is called."""
    syscalls.mount("none", root, "tmpfs")
    (root / "pods").mkdir()
    with shared_root(root):
        mount_as_a_driver(root / "pods")
        unmount_all(root / "pods")
    unshare(root)
    assert mounts_below(root) == [root]


def test_nothing_is_covered(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where pods of an older agent have mounts, they stay visible, and it is told what does not work until they are gone."""
    syscalls.mount("none", root / "pods", "tmpfs")
    with shared_root(root):
        assert mounts_below(root) == [root / "pods"]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("mounts of CSI drivers will not reach ")
    assert warning.endswith("/pods is mounted already")
