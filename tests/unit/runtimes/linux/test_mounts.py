"""What the mount table says of a directory."""

import pytest

from runtimes.linux.mountinfo import MountEntry
from runtimes.linux.mounts import bound_on_itself


def entry(point: str, root: str = "/", device: str = "8:1") -> MountEntry:
    return MountEntry(device=device, root=root, point=point, tags=(), fstype="ext4", source="/dev/sda1", options=())


ROOT, VAR = entry("/"), entry("/var", "/@var", "8:2")


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ([ROOT], False),
        ([ROOT, entry("/var/lib/kubelet", "/var/lib/kubelet")], True),
        ([ROOT, VAR, entry("/var/lib/kubelet", "/@var/lib/kubelet", "8:2")], True),
        ([ROOT, VAR, entry("/var/lib/kubelet", "/var/lib/kubelet")], False),
        ([ROOT, entry("/var/lib/kubelet", "/data/kubelet")], False),
        ([ROOT, entry("/var/lib/kubelet", "/", "8:3")], False),
        ([ROOT, entry("/var/lib/kubelet", "/var/lib/kubelet"), entry("/var/lib/kubelet", "/", "8:3")], False),
        ([ROOT, entry("/var/lib/kube", "/var/lib/kube"), entry("/var/lib/kubelet2", "/var/lib/kubelet2")], False),
    ],
)
def test_what_is_bound_on_itself(table: list[MountEntry], found: bool) -> None:
    """The directory that it covers, and neither another one, another disk, nor what an administrator has put on top."""
    assert bound_on_itself("/var/lib/kubelet", table) is found
