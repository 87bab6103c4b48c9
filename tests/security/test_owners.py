"""A folder of an agent's has one owner: a second agent is refused in one line, before it has looked at a pod."""

import subprocess
from pathlib import Path

import pytest
from node_under_test import NodeUnderTest, free_port, make_node
from pods_under_test import make_pod

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-owners")]


@pytest.mark.parametrize("folder", ["state", "run", "root"])
def test_a_second_agent_on_the_same_folder(node: NodeUnderTest, tmp_path: Path, folder: str) -> None:
    """All else its own, ports, name and the other folders: nothing of the first one's is touched. Once the first has gone, killed
    even, the folder can be had."""
    node.apply(make_pod("keep"))
    before = node.running("keep")["status"]["containerStatuses"]
    other = make_node(tmp_path, kubelet={"cgroupRoot": node.cgroup, "port": free_port()})
    other.directory.mkdir()
    (other.directory / folder).symlink_to(node.directory / folder)
    log = other.directory / "agent.log"
    other.start_with("--standalone", log_level="info")
    assert other.agent is not None
    try:
        assert other.agent.wait(60) == 1
    finally:
        other.agent.kill()
    said = log.read_text().splitlines()
    assert said[-1].endswith(
        f"another agent runs with {other.directory / folder}: give this one a --{folder}-dir of its own"
    )
    assert "Traceback" not in "\n".join(said)
    assert node.running("keep")["status"]["containerStatuses"] == before
    if folder == "root":
        node.kill()
        node.start()
    assert node.running("keep")["status"]["containerStatuses"] == before
    subprocess.run(["ip", "link", "del", other.bridge], capture_output=True, check=False)
