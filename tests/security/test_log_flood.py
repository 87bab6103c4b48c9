"""A pod that prints as fast as it can, with or without newlines, stays within its log bounds, on a disk it could fill."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_under_test import NodeUnderTest, eventually, import_image, make_node
from pods_under_test import make_pod, shell
from small_disk import small_disk

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-logs")]

MIB = 1024 * 1024
MAX_BYTES, FILES = MIB, 3


@pytest.fixture
def node(tmp_path: Path, demo_image: Path) -> Iterator[NodeUnderTest]:
    """Logs of 1 MiB in 3 files, on a disk of 256 MiB."""
    with small_disk(tmp_path, 256) as disk:
        kubelet = {
            "podLogsDir": str(disk / "pods"),
            "containerLogMaxSize": "1Mi",
            "containerLogMaxFiles": FILES,
            "containerLogMonitorInterval": "3s",
        }
        made = make_node(tmp_path, kubelet=kubelet)
        made.directory.mkdir()
        import_image(made, demo_image)
        made.start()
        yield made
        made.clean()


def test_floods_stay_in_bounds(node: NodeUnderTest, tmp_path: Path) -> None:
    """60 MiB of noise without a newline and 60 MiB of lines, at once: each log ends within its bound, what was cut
    is told, the disk has room, what is said afterwards is there, and a quiet neighbour has lost nothing."""
    # Both floods fit on the disk together: on a machine that is busy otherwise they may come before anybody looks.
    hold = "; while :; do echo; echo said afterwards; sleep 1; done"
    node.apply(
        make_pod("quiet", shell("c", "for i in $(seq 300); do echo line $i; sleep 0.02; done; sleep 100000")),
        make_pod("noise", shell("c", "head -c 62914560 /dev/urandom" + hold)),
        make_pod("lines", shell("c", f"yes '{'a line of a flood ' * 20}' | head -c 62914560" + hold)),
    )
    logs = tmp_path / "disk" / "pods"

    def files(pod: str) -> list[Path]:
        return sorted(logs.glob(f"default_{pod}_*/c/0.log*"))

    def live(pod: str) -> bytes:
        found = [path for path in files(pod) if path.name == "0.log"]
        return found[0].read_bytes()[-200:] if found else b""

    for pod in ("noise", "lines"):
        eventually(lambda pod=pod: b"said afterwards" in live(pod), f"{pod} has ended its flood")
        eventually(
            lambda pod=pod: sum(path.stat().st_size for path in files(pod)) <= FILES * (MAX_BYTES + 1024),
            f"{pod} is within its bound",
        )
        # a file that was begun this moment has nothing yet
        eventually(lambda pod=pod: "said afterwards" in node.kubectl("logs", pod, "--tail=4"), f"{pod} is heard again")
    assert "writes its log faster than it can be kept" in node.log()
    found = os.statvfs(logs)
    assert found.f_bavail * found.f_frsize > 220 * MIB
    lines = [f"line {number}" for number in range(1, 301)]
    eventually(lambda: node.kubectl("logs", "quiet").splitlines() == lines, "the neighbour's log is whole")
