"""The native network in other circumstances: after its process has gone and come back, and on older kernels."""

import asyncio

import pytest
from pyroute2 import IPRoute

from cni.errors import PluginError
from cni.native import rtnl, veth
from cni.native.in_process import InProcess
from cni.native.packet_filter import choose_rules
from cni.testing.implementation import Implementation
from cni.testing.subject import Subject
from cni.testing.traffic import ask, tcp_server

from .test_native import DUAL_STACK, in_process

pytestmark = [pytest.mark.node, pytest.mark.asyncio]

HOST_PORT = 20080
PORTS = {"portMappings": [{"hostPort": HOST_PORT, "containerPort": 8080, "protocol": "tcp"}]}


@pytest.fixture
def network_implementation() -> Implementation:
    return Implementation(name="native", document=DUAL_STACK, make=in_process)


async def test_rules_and_bridge_are_made_again(network: Subject) -> None:
    """Somebody has flushed the packet filter and taken the bridge's addresses away: CHECK says so, a restart mends it."""
    pod, _ = await network.attach(capabilities=PORTS)

    def tamper() -> None:
        with IPRoute() as route:
            route.flush_addr(index=route.link_lookup(ifname="cni0")[0])

    await asyncio.to_thread(choose_rules().remove, "natest", pod.attachment.container_id, "eth0")
    assert await asyncio.to_thread(choose_rules().withdraw)
    network.host.run(tamper)
    with pytest.raises(PluginError, match="has no address"):
        await network.check(pod)
    await InProcess(choose_rules).restore(network.memory)
    await network.check(pod)
    async with tcp_server(pod.namespace, 8080, "pod"):
        assert (await ask(None, "127.0.0.1", HOST_PORT)).startswith("pod ")


async def test_a_kernel_that_echoes_nothing(network: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.2 there is no echo of what was made or removed, and without IPv6 its settings are unknown: all works."""
    monkeypatch.setattr(rtnl, "ECHO", 0)
    monkeypatch.setattr(veth, "_has_ipv6", lambda: False)
    pod, result = await network.attach()
    await network.check(pod)
    assert {ip.address for ip in result.ips} == set(pod.link.addresses)
    await network.delete(pod)
    await network.left_behind()
