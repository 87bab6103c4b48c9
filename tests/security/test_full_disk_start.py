"""The agent starts where nothing can be written: on a full disk, without inodes. On a read-only one it says so in one line."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_under_test import NodeUnderTest, eventually, free_port, import_image, make_node
from pods_under_test import make_pod, shell
from small_disk import small_disk

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-full-disk")]


@pytest.fixture
def node(tmp_path: Path, demo_image: Path) -> Iterator[NodeUnderTest]:
    """A node all of whose folders are on a disk of 96 MiB with 4,000 inodes."""
    with small_disk(tmp_path, 96, "-N", "4000") as disk:
        made = make_node(disk, apiServer={"port": free_port()}, kubelet={"evictionPressureTransitionPeriod": "1s"})
        made.directory.mkdir()
        import_image(made, demo_image)
        made.start()
        yield made
        empty(disk)
        made.clean()


def fill_bytes(folder: Path) -> None:
    """Down to the last block."""
    for size in (1024 * 1024, 4096, 1):
        with contextlib.suppress(OSError), (folder / f"filler-{size}").open("wb", buffering=0) as file:
            while file.write(b"x" * size):
                pass


def fill_inodes(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for number in range(10_000):
            (folder / f"filler-{number}").touch()


def disk_pressure(node: NodeUnderTest) -> str:
    path = "jsonpath={.status.conditions[?(@.type=='DiskPressure')].status}"
    return node.kubectl("get", "node", node.name, "-o", path)


def empty(folder: Path) -> None:
    for path in folder.glob("filler-*"):
        path.unlink()


def test_start_on_a_full_disk(node: NodeUnderTest, tmp_path: Path) -> None:
    """0 bytes, then 0 inodes: a pod that is not to be evicted goes on; the agent that comes back has it, can be asked, and is
    itself again when there is room; read-only: one line, and no traceback."""
    disk = tmp_path / "disk"
    node.apply(make_pod("stays", shell("c", "echo here; sleep 100000"), priorityClassName="system-node-critical"))
    started = node.running("stays")["status"]["containerStatuses"][0]["state"]
    for fill in (fill_bytes, fill_inodes):
        node.stop()
        fill(disk)
        found = os.statvfs(disk)
        assert found.f_bavail == 0 or found.f_favail == 0
        (node.directory / "agent.log").unlink(missing_ok=True)
        log = tmp_path / "agent.log"
        log.touch()
        (node.directory / "agent.log").symlink_to(log)
        node.start()
        assert node.pod("stays")["status"]["containerStatuses"][0]["state"] == started
        eventually(lambda: node.kubectl("logs", "stays", check=False) == "here\n", "the agent answers")
        if fill is fill_inodes:  # without a byte the API on the same disk cannot store it
            eventually(lambda: disk_pressure(node) == "True", "the condition says the truth")
        assert "Traceback" not in node.log()
        empty(disk)
        note = ("annotate", "pod", "stays", "--overwrite", f"after={fill.__name__}")
        eventually(lambda note=note: "annotated" in node.kubectl(*note, check=False), "the API writes again")
        eventually(lambda: disk_pressure(node) == "False", "the condition says the truth again")
        node.apply(make_pod(fill.__name__.replace("_", "-")))
        node.running(fill.__name__.replace("_", "-"))
    node.stop()
    state = str(node.directory / "state")
    subprocess.run(["mount", "--bind", state, state], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", state], check=True)
        before = len(node.log())
        node.start_with("--standalone", log_level="info")
        assert node.agent is not None
        assert node.agent.wait(60) == 1
        said = node.log()[before:]
        assert "Read-only file system" in said and "Traceback" not in said, said
    finally:
        node.stop()
        subprocess.run(["umount", state], check=True)
