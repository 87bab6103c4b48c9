"""The data path: who reaches whom, and as whom he is seen."""

import asyncio
import errno

import pytest

from cni.result import Result
from cni.testing import claims, host
from cni.testing.levels import must, should
from cni.testing.subject import Subject
from cni.testing.traffic import ask, ask_whole, tcp_server, udp_server

pytestmark = pytest.mark.asyncio

PORT = 8080
DROPPED_SECONDS = 1.0


def ips(network: Subject, result: Result) -> tuple[str, ...]:
    """The addresses that others are to reach. Skips the check where there are none."""
    return claims.found(result.pod_ips(), "addresses", claimed=claims.addresses(network.config))


def of_family(result: Result, other: str) -> str:
    return next(ip for ip in result.pod_ips() if (":" in ip) == (":" in other))


@must
@pytest.mark.parametrize("udp", [False, True], ids=["tcp", "udp"])
async def test_n1_pod_to_pod(network: Subject, udp: bool) -> None:
    """By every address, and seen under the client's own: no NAT between pods. Kubernetes network model."""
    (server, served), (client, own) = await network.attach(), await network.attach()
    async with (udp_server if udp else tcp_server)(server.namespace, PORT):
        for ip in ips(network, served):
            assert await ask(client.namespace, ip, PORT, udp=udp) == f"server {of_family(own, ip)}"


@must
async def test_n2_pod_and_host(network: Subject) -> None:
    """The host reaches the pod, the pod the host at its address and itself at its own. Kubernetes network model."""
    pod, result = await network.attach()
    async with tcp_server(pod.namespace, PORT, "pod"), tcp_server(None, PORT, "host"):
        for ip in ips(network, result):
            assert (await ask(None, ip, PORT)).startswith("pod ")
            assert await ask(pod.namespace, ip, PORT) == f"pod {ip}"
            assert (await ask(pod.namespace, host.HOST6 if ":" in ip else host.HOST, PORT)).startswith("host ")


@should
async def test_n3_pod_to_outside(network: Subject) -> None:
    """Beyond the host, where nobody knows the pods: under the host's address, where the network masquerades. Option `ipMasq`."""
    pod, result = await network.attach()
    if not any(part.raw.get("ipMasq") for part in network.config.plugins):
        pytest.skip("not claimed: no plugin has ipMasq")
    async with tcp_server(network.host.outside, PORT, "outside"):
        for ip in ips(network, result):
            there, seen_as = (host.OUTSIDE6, host.HOST6) if ":" in ip else (host.OUTSIDE, host.HOST)
            assert await ask(pod.namespace, there, PORT) == f"outside {seen_as}"


@should
async def test_t2_reached_at_once(network: Subject) -> None:
    """When ADD has returned, the first attempt succeeds. Kubernetes starts containers at that moment."""
    (client, _), late = await network.attach(), network.pod()
    async with tcp_server(late.namespace, PORT):
        result = await network.add(late)
        for ip in ips(network, result):
            assert (await ask(client.namespace, ip, PORT)).startswith("server ")


@should
async def test_n4_packets_as_large_as_the_interface_says(network: Subject) -> None:
    """One of the MTU's size arrives at another pod in one piece, a larger one is refused at once. Kubernetes network model."""
    (server, served), (client, _) = await network.attach(), await network.attach()
    mtu = min(client.link.mtu, 65535)
    async with udp_server(server.namespace, PORT):
        for ip in ips(network, served):
            assert (await ask_whole(client.namespace, ip, PORT, packet_bytes=mtu)).startswith("server ")
            with pytest.raises(OSError) as caught:
                await ask_whole(client.namespace, ip, PORT, packet_bytes=mtu + 1)
            assert caught.value.errno == errno.EMSGSIZE


@should
async def test_n12_a_mac_that_is_not_its_own(network: Subject) -> None:
    """What a pod sends under another MAC than ADD gave it is dropped. Option `macspoofchk`."""
    if not any(part.raw.get("macspoofchk") for part in network.config.plugins):
        pytest.skip("not claimed: no plugin has macspoofchk")
    (server, served), (client, _) = await network.attach(), await network.attach()
    async with tcp_server(server.namespace, PORT):
        (ip, *_) = ips(network, served)
        assert (await ask(client.namespace, ip, PORT)).startswith("server ")
        client.change(lambda route, index: route.link("set", index=index, address="c2:11:22:33:44:66"))
        with pytest.raises(OSError):
            async with asyncio.timeout(DROPPED_SECONDS):
                await ask(client.namespace, ip, PORT)
