"""Ports of the host that lead to a pod: the capability portMappings."""

from dataclasses import replace
from typing import Any

import pytest

from cni.testing import claims, host, sctp
from cni.testing.levels import must, should
from cni.testing.subject import Subject
from cni.testing.traffic import ask, asker, tcp_server, udp_server

pytestmark = pytest.mark.asyncio

HOST_PORT, PORT = 30080, 8080


def mapping(network: Subject, protocol: str = "tcp", **fields: Any) -> dict[str, Any]:
    """Values for the capability: one port. Skips the check where no plugin has it."""
    network.needs_capability("portMappings")
    one = {"hostPort": HOST_PORT, "containerPort": PORT, "protocol": protocol, **fields}
    return {"portMappings": [one]}


@must
async def test_n5_from_everywhere(network: Subject) -> None:
    """From another host, from the host by its address, by 127.0.0.1 (but without `snat`) and by the pod's gateway.
    CNI conventions, portMappings.
    """
    pod, result = await network.attach(capabilities=mapping(network))
    gateways = [ip.gateway for ip in result.ips if ip.gateway and ":" not in ip.gateway]
    loopback = [(None, "127.0.0.1")] if claims.source_nat(network.config) else []
    async with tcp_server(pod.namespace, PORT, "pod"):
        for place, address in (
            (network.host.outside, host.HOST),
            (None, host.HOST),
            *loopback,
            *((None, gateway) for gateway in gateways),
        ):
            assert (await ask(place, address, HOST_PORT)).startswith("pod "), address


@must
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_n7_one_address_of_the_host(network: Subject, protocol: str) -> None:
    """hostIP: there, and at no other address. CNI conventions, portMappings."""
    pod, _ = await network.attach(capabilities=mapping(network, protocol, hostIP=host.HOST))
    udp = protocol == "udp"
    async with (udp_server if udp else tcp_server)(pod.namespace, PORT, "pod"):
        assert (await ask(network.host.outside, host.HOST, HOST_PORT, udp=udp)).startswith("pod ")
        with pytest.raises(OSError):
            await ask(None, "127.0.0.1", HOST_PORT, udp=udp)


@must
async def test_n6_a_flow_that_was_there_before(network: Subject) -> None:
    """Neither what a client sent before there was a pod, nor what he sent to one that is gone, keeps his next datagrams from
    the pod that has the port. CNI conventions, portMappings.
    """
    # connections are tracked where there is a pod with a port
    first, _ = await network.attach(capabilities=mapping(network, "udp", hostPort=HOST_PORT + 1))
    async with (
        udp_server(first.namespace, PORT, "first"),
        udp_server(None, HOST_PORT, "host"),
        asker(network.host.outside) as client,
    ):
        assert (await client(host.HOST, HOST_PORT)).startswith("host ")
        for name in ("second", "third"):
            pod, _ = await network.attach(capabilities=mapping(network, "udp"))
            async with udp_server(pod.namespace, PORT, name):
                assert (await client(host.HOST, HOST_PORT)).startswith(f"{name} ")
            await network.delete(pod)


@should
async def test_n15_sctp(network: Subject) -> None:
    """A port of SCTP leads to the pod; no end needs a kernel that has it. CNI conventions, portMappings."""
    capabilities = mapping(network, "sctp")
    if not sctp.is_tracked():
        pytest.skip("cannot be tried here: this kernel does not follow connections of SCTP")
    pod, result = await network.attach(capabilities=capabilities)
    for ip in result.pod_ips():
        at = host.HOST6 if ":" in ip else host.HOST
        assert await sctp.port_reached(network.host.outside, at, HOST_PORT, pod.namespace) == PORT


@should
async def test_n8_a_pods_own_host_port(network: Subject) -> None:
    """A pod reaches itself by the host's address, but without `snat`, or by a port of a bridge without `hairpinMode`: what is
    led back while it is bridged leaves it by the port by which it came. CNI conventions, portMappings.
    """
    capabilities = mapping(network)
    if missing := claims.not_led_back(network.config):
        pytest.skip(f"not claimed: {missing}")
    pod, _ = await network.attach(capabilities=capabilities)
    async with tcp_server(pod.namespace, PORT, "pod"):
        assert (await ask(pod.namespace, host.HOST, HOST_PORT)).startswith("pod ")


@should
async def test_n10_by_ipv6(network: Subject) -> None:
    """A pod with an IPv6 address is reached by the host's. Kubernetes network model, dual stack."""
    pod, result = await network.attach(capabilities=mapping(network))
    of_ipv6 = [ip for ip in result.pod_ips() if ":" in ip]
    claims.found(of_ipv6, "IPv6 addresses", claimed=claims.ipv6(network.config))
    async with tcp_server(pod.namespace, PORT, "pod"):
        for place in (network.host.outside, None):
            assert (await ask(place, host.HOST6, HOST_PORT)).startswith("pod ")


@must
async def test_n9_tcp_and_udp(network: Subject) -> None:
    """The same port of two protocols leads to two pods. CNI conventions, portMappings."""
    one, _ = await network.attach(capabilities=mapping(network, "tcp"))
    two, _ = await network.attach(capabilities=mapping(network, "udp"))
    async with tcp_server(one.namespace, PORT, "tcp"), udp_server(two.namespace, PORT, "udp"):
        assert (await ask(network.host.outside, host.HOST, HOST_PORT)).startswith("tcp ")
        assert (await ask(network.host.outside, host.HOST, HOST_PORT, udp=True)).startswith("udp ")


@must
async def test_n14_closed_after_del(network: Subject) -> None:
    """After DEL the port leads nowhere; by a runtime that has lost its records, too. CNI 1.1.0, section 2, "DEL"."""
    for subject in (network, network.forgetful()):
        pod, _ = await network.attach(capabilities=mapping(network))
        async with tcp_server(pod.namespace, PORT, "pod"):
            assert (await ask(network.host.outside, host.HOST, HOST_PORT)).startswith("pod ")
            await subject.verbs.delete(pod.attachment)
            with pytest.raises(OSError):
                await ask(network.host.outside, host.HOST, HOST_PORT)


@must
async def test_d8_host_ports_without_a_namespace(network: Subject) -> None:
    """The namespace is gone, or not even named: the rules go all the same. CNI 1.1.0, section 2, "DEL"."""
    for named in (True, False):
        pod, _ = await network.attach(capabilities=mapping(network))
        pod.lose_namespace()
        await network.delete(pod, **({} if named else {"netns": ""}), capabilities={})
        await network.left_behind()


@should
async def test_d17_host_ports_that_nobody_remembers(network: Subject) -> None:
    """A DEL of a runtime that knows neither result nor ports takes the rules away. CNI 1.1.0, section 2, "DEL"."""
    pod, _ = await network.attach(capabilities=mapping(network))
    await network.forgetful().verbs.delete(replace(pod.attachment, capabilities={}))
    left = [line for line in network.leftovers() if not line.startswith("file ")]  # the record that is lost is a file
    assert not left, "the values of the capability are lost, and the port stays: " + "; ".join(left)
