"""A node that moves between the CNI programs and the native network, with pods attached: none restarts, no address is lost."""

import asyncio
from dataclasses import replace

import pytest

from cni.default import DefaultNetwork
from cni.native.packet_filter import choose_rules
from cni.testing.implementation import Implementation
from cni.testing.subject import Subject
from cni.testing.traffic import ask, tcp_server

from .conftest import debian
from .test_native import in_process

pytestmark = [pytest.mark.node, pytest.mark.asyncio]

PORT = 8080


@pytest.fixture
def network_implementation() -> Implementation:
    programs = debian("programs, then native", DefaultNetwork(name="natest", native=False).conflist())
    return replace(programs, make=in_process)


async def test_there_and_back(network: Subject) -> None:
    """Pods of both are on one bridge, reach each other, share no address, and end under whichever network is the node's then."""
    native = network.variant(DefaultNetwork(name="natest", ipam_dir=network.folder / "ipam").conflist())
    owners = [network, native, network, native]
    pods = [await owner.attach() for owner in owners]
    addresses = [result.pod_ips()[0] for _, result in pods]
    assert len(set(addresses)) == len(pods)
    async with tcp_server(pods[0][0].namespace, PORT, "first"), tcp_server(pods[1][0].namespace, PORT, "second"):
        for (client, _), own in zip(pods[2:], addresses[2:], strict=True):
            assert await ask(client.namespace, addresses[0], PORT) == f"first {own}"
            assert await ask(client.namespace, addresses[1], PORT) == f"second {own}"
    for (pod, _), owner in zip(pods, owners, strict=True):
        await owner.check(pod)
    for (pod, _), owner in zip(pods, reversed(owners), strict=True):
        await owner.delete(pod)
    assert await asyncio.to_thread(choose_rules().withdraw)


async def test_an_interrupted_program(network: Subject) -> None:
    """What host-local reserved and could not write an owner into is given out again."""
    folder = network.folder / "ipam" / "natest"
    native = network.variant(DefaultNetwork(name="natest", ipam_dir=network.folder / "ipam").conflist()).with_pool_of(1)
    await asyncio.to_thread(folder.mkdir, parents=True)
    await asyncio.to_thread((folder / "10.88.0.2").touch)
    pod, result = await native.attach()
    assert result.pod_ips() == ("10.88.0.2",)
    await native.delete(pod)
    assert await asyncio.to_thread(choose_rules().withdraw)
