"""Whoever reaches a port of the node takes no pod and no agent down by opening connections. A real agent, few descriptors."""

import contextlib
import json
import resource
import socket
from collections.abc import Iterator

import pytest
from node_under_test import NodeUnderTest, eventually
from pods_under_test import make_pod

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-connections")]


@contextlib.contextmanager
def crowd(address: str, port: int, count: int) -> Iterator[None]:
    """So many connections that say nothing, without TLS or credentials."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_connection((address, port), timeout=2))
        yield


def test_a_crowd_at_the_port(node: NodeUnderTest) -> None:
    """The agent raises its limit as configured; with 160 descriptors and 600 connections it goes on, tells of it, and serves
    again; the embedded API the same."""
    assert node.agent is not None
    limit = resource.prlimit(node.agent.pid, resource.RLIMIT_NOFILE)
    assert limit[0] == min(1_000_000, limit[1])
    node.apply(make_pod("before"))
    node.running("before")
    node.kubectl("exec", "before", "--", "true")
    address = json.loads(node.kubectl("get", "node", node.name, "-o", "json"))["status"]["addresses"][0]["address"]
    api = int(node.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}").rpartition(":")[2])
    resource.prlimit(node.agent.pid, resource.RLIMIT_NOFILE, (160, limit[1]))
    for host, port in ((address, node.port), ("127.0.0.1", api)):
        with crowd(host, port, 600):
            eventually(lambda: node.kubectl("get", "--raw=/readyz", check=False) == "ok", "the API answers in a crowd")
            with pytest.raises(AssertionError):
                eventually(lambda: node.agent is None or node.agent.poll() is not None, "the agent ends", 12)
        eventually(lambda: node.kubectl("exec", "before", "--", "echo", "x", check=False) == "x\n", "the node answers")
    assert "too many open files" in node.log().lower()
    resource.prlimit(node.agent.pid, resource.RLIMIT_NOFILE, limit)
    node.apply(make_pod("after"))
    node.running("after")
