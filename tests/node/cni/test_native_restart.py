"""The native network after its process has gone and come back: attachments are adopted, what is missing is made again."""

import asyncio

import pytest
from pyroute2 import IPRoute

from cni.errors import PluginError
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
