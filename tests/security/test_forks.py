"""Processes without number: a fork bomb stays in its pod's limit, and what nobody waits for goes with the pod. A real agent."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from node_fixtures import started_node
from node_under_test import NodeUnderTest, eventually
from pods_under_test import make_pod, shell

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-forks")]

LIMIT = 64


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[NodeUnderTest]:
    yield from started_node(tmp_path_factory.mktemp("forks"), demo_image, kubelet={"podPidsLimit": LIMIT})


def pids(node: NodeUnderTest, pod: str) -> int:
    """Processes and threads of a pod, as the kernel counts them."""
    uid = node.pod(pod)["metadata"]["uid"]
    folder = next(Path("/sys/fs/cgroup/pids").glob(f"{node.cgroup.strip('/')}/**/pod{uid}"), None)
    if folder is None or (folder / "pids.max").read_text() != f"{LIMIT}\n":  # not yet
        return 0
    return int((folder / "pids.current").read_text())


def test_a_fork_bomb_and_orphans(node: NodeUnderTest) -> None:
    """The bomb fills its pod's limit and no more; a neighbour starts, runs and is asked; zombies below a pid 1 that does not wait
    for them do not keep their pod, and nothing is left of either."""
    bomb = shell("c", "while :; do sleep 100000 & done 2> /dev/null; sleep 100000")
    again = shell("d", "while :; do (while :; do sleep 100000 & sleep 0.2; done) 2> /dev/null; sleep 0.2; done")
    node.apply(
        make_pod("bomb", bomb, again),
        make_pod(
            "zombies", shell("c", "for i in 1 2 3 4 5 6 7 8; do (sleep 0.1 & exec sleep 0) & done; exec sleep 100000")
        ),
    )
    eventually(lambda: pids(node, "bomb") >= LIMIT - 1, "the bomb meets its limit")
    node.apply(make_pod("neighbour"))
    node.running("neighbour")
    assert node.kubectl("exec", "neighbour", "--", "echo", "x") == "x\n"
    assert pids(node, "bomb") <= LIMIT
    node.running("zombies")
    eventually(lambda: " Z " in node.kubectl("exec", "zombies", "--", "sh", "-c", STATES), "there are zombies")
    node.delete_pods("bomb", "zombies")
    eventually(lambda: "bomb" not in (found := node.kubectl("get", "pods")) and "zombies" not in found, "both go")
    assert node.kubectl("exec", "neighbour", "--", "echo", "x") == "x\n"


STATES = "for p in /proc/[0-9]*; do read -r line < $p/stat && echo $line; done"
