"""The node's addresses when there are none for a while."""

import ipaddress
import logging
from typing import Any

import pytest
from lightkube.models.core_v1 import Node, NodeAddress, NodeStatus

from nodeagent.node import addressing
from nodeagent.node.addresses import NoNodeAddress
from nodeagent.node.addressing import Addressing


class State:
    """The addresses of a `NodeState`."""

    host_ips: tuple[str, ...] = ("10.0.0.1",)

    def set_host_ips(self, host_ips: list[str]) -> None:
        self.host_ips = tuple(host_ips)


def shown(*ips: str) -> list[NodeAddress]:
    named = [NodeAddress(type="InternalIP", address=ip) for ip in ips]
    return [*named, NodeAddress(type="Hostname", address="n")]


async def test_addresses_come_and_go(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Those of before are kept, and it is told once; new ones count at once, and it is told that there are some again."""
    caplog.set_level(logging.INFO)
    answers: list[Any] = [NoNodeAddress("none"), NoNodeAddress("none"), [ipaddress.ip_address("10.0.0.2")]]

    async def node_ips(name: str, wanted: str) -> Any:
        assert (name, wanted) == ("n", "0.0.0.0")
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(addressing, "node_ips", node_ips)
    state: Any = State()
    found = Addressing(state, node_name="n", node_ip="0.0.0.0")
    assert await found.read() == shown("10.0.0.1")
    assert await found.read() == shown("10.0.0.1")
    assert await found.read() == shown("10.0.0.2")
    assert state.host_ips == ("10.0.0.2",)
    assert [record.getMessage() for record in caplog.records] == [
        "addresses of this node: none; keeping 10.0.0.1",
        "addresses of this node: works again, after 0 s",
    ]


async def test_addresses_of_a_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that its controller has written stay; before that, none, but for the one that the operator names."""

    async def node_ips(name: str, wanted: str) -> Any:
        return [ipaddress.ip_address("10.0.0.2")]

    monkeypatch.setattr(addressing, "node_ips", node_ips)
    state: Any = State()
    node = Node()
    for node_ip, before in (("", []), ("10.0.0.2", shown("10.0.0.2"))):
        node.status = None
        found = Addressing(state, node_name="n", node_ip=node_ip, cloud_node=lambda: node)
        assert await found.read() == before
        node.status = NodeStatus(addresses=shown("192.0.2.1"))
        assert await found.read() == shown("192.0.2.1")
