"""A private node's place on the machine."""

import random
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from nodeagent.config import RuntimeSettings
from nodeagent.isolation.bounds import Bounds
from nodeagent.isolation.contract import StageError
from nodeagent.isolation.node import NodeSettings, PrivateNode, free_subnet
from runtimes.linux.cgroups.v2 import CgroupsV2


def test_a_subnet_that_no_route_touches() -> None:
    """Half of 10.0.0.0/8 has routes."""
    taken = [IPv4Network("10.0.0.0/9"), IPv4Network("192.168.0.0/16")]
    chance = random.Random(1)
    seconds = {int(free_subnet(taken, chance).split(".")[1]) for _ in range(50)}
    assert min(seconds) >= 128


def test_no_subnet() -> None:
    """All of it is taken."""
    with pytest.raises(StageError, match="there is none for the pods"):
        free_subnet([IPv4Network("10.0.0.0/8")])


async def test_every_part_of_its_end_is_tried(tmp_path: Path) -> None:
    """What goes wrong is told; the pods' processes and the folder go all the same."""
    bounds = Bounds(CgroupsV2(tmp_path / "cgroups"))
    killed: list[str] = []

    class Node(PrivateNode):
        async def _end_agent(self) -> None:
            raise RuntimeError("it is stuck")

        def _remove_network(self) -> list[str]:
            return ["bridge: busy"]

    settings = NodeSettings(handler="h", runtime=RuntimeSettings(type="oci"), registry="r", image="i")
    node = Node(settings, bounds)
    bounds.kill = lambda: killed.append(bounds.path)  # type: ignore[method-assign]
    node.directory = tmp_path / "node"
    (node.directory / "state").mkdir(parents=True)
    assert await node.end() == [f"something of node {node.name}: RuntimeError: it is stuck", "bridge: busy"]
    assert killed == [bounds.path]
    assert not node.directory.exists()
