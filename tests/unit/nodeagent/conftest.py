"""A node's state for tests of what changes it."""

import pytest

from nodeagent.node.capacity import Limits
from nodeagent.node.facts import Machine
from nodeagent.node.state import NodeState


@pytest.fixture
def state() -> NodeState:
    """Of a small machine without any pressure."""
    machine = Machine(
        machine_id="m",
        system_uuid="s",
        boot_id="b",
        kernel_version="6.1",
        os_image="Debian",
        architecture="amd64",
        operating_system="linux",
        cpus=1,
        memory_bytes=2**30,
        swap_bytes=0,
        hugepages={},
        max_pids=1000,
    )
    return NodeState(machine, Limits(), storage_bytes=None, host_ips=())
