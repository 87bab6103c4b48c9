"""What a node knows of a small machine, for unit tests: its facts, which a test replaces as it needs them, and a node's state."""

import pytest

from nodeagent.node.capacity import Limits
from nodeagent.node.facts import Machine
from nodeagent.node.state import NodeState

MACHINE = Machine(
    machine_id="m",
    system_uuid="s",
    boot_id="b",
    kernel_version="6.1",
    os_image="Debian",
    architecture="amd64",
    operating_system="linux",
    cpus=4,
    memory_bytes=2**30,
    swap_bytes=0,
    hugepages={},
    max_pids=1000,
)


@pytest.fixture
def state() -> NodeState:
    """Without any pressure."""
    return NodeState(MACHINE, Limits(), storage_bytes=None, host_ips=())
