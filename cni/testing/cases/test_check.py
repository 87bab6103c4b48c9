"""CHECK: agrees with what ADD made, and notices what was changed."""

from collections.abc import Callable
from functools import partial

import pytest
from pyroute2 import IPRoute

from cni.errors import CNIError, PluginError
from cni.testing import claims, wire
from cni.testing import pod as pods
from cni.testing.host import flush_firewall, look
from cni.testing.levels import must, should
from cni.testing.pod import Pod
from cni.testing.subject import Subject

pytestmark = pytest.mark.asyncio


async def checked(network: Subject) -> Pod:
    """A pod that CHECK agrees with. Skips where there is no CHECK."""
    network.needs_check()
    pod, _ = await network.attach()
    await network.check(pod)
    return pod


async def noticed(network: Subject, pod: Pod) -> None:
    with pytest.raises(PluginError):
        await network.check(pod)


@must
async def test_k1_right_after_add(network: Subject) -> None:
    """CHECK of a pod as ADD left it succeeds. CNI 1.1.0, section 2, "CHECK"."""
    await checked(network)


@should
@pytest.mark.parametrize("change", ["deleted", "down"])
async def test_k4_the_interface(network: Subject, change: str) -> None:
    """It is gone, or down: an error. CNI 1.1.0, section 2, "CHECK"."""
    pod = await checked(network)
    actions: dict[str, Callable[[IPRoute, int], object]] = {
        "deleted": lambda route, index: route.link("del", index=index),
        "down": lambda route, index: route.link("set", index=index, state="down"),
    }
    pod.change(actions[change])
    await noticed(network, pod)


@should
async def test_k5_an_address(network: Subject) -> None:
    """Its addresses are gone: an error. CNI 1.1.0, section 2, "CHECK"."""
    pod = await checked(network)
    claims.found(pod.link.addresses, "addresses", claimed=claims.addresses(network.config))
    pod.change(lambda route, index: route.flush_addr(index=index))
    await noticed(network, pod)


@should
async def test_k6_a_route(network: Subject) -> None:
    """A route that the result lists is gone: an error. CNI 1.1.0, section 2, "CHECK"."""
    network.needs_check()
    pod, result = await network.attach()
    await network.check(pod)
    claims.found(result.routes, "routes", claimed=claims.routes(network.config))
    pod.change(lambda route, index: route.flush_routes(oif=index))
    await noticed(network, pod)


@should
async def test_k7_the_end_on_the_host(network: Subject) -> None:
    """The host's end of the pod's link is gone: an error. CNI 1.1.0, section 2, "CHECK"."""
    network.needs_check()
    pod, result = await network.attach()
    await network.check(pod)
    ours = {item.name for item in result.interfaces if not item.sandbox} & network.host.run(pods.peers)
    if not ours:
        pytest.skip("not claimed: the result lists no end of a veth on the host")
    for name in ours:
        network.host.run(partial(pods.delete_link, name))
    await noticed(network, pod)


@should
async def test_k8_the_reservation(network: Subject) -> None:
    """What the IPAM plugin knows of the pod is gone: an error. CNI 1.1.0, section 2, "CHECK"."""
    network.needs_check()
    pod, result = await network.attach()
    await network.check(pod)
    files = network.reservations(pod, result)
    if not files:
        pytest.skip("not claimed: no files about single addresses")
    for path in files:
        path.unlink()
    await noticed(network, pod)


@should
async def test_k9_a_host_ports_rules(network: Subject) -> None:
    """The firewall was flushed by somebody: an error, where the pod has a port of the host. CNI 1.1.0, section 2, "CHECK"."""
    network.needs_check()
    network.needs_capability("portMappings")
    mapping = {"hostPort": 30080, "containerPort": 8080, "protocol": "tcp"}
    pod, _ = await network.attach(capabilities={"portMappings": [mapping]})
    await network.check(pod)
    network.host.run(flush_firewall)
    await noticed(network, pod)


@must
async def test_k10_what_others_have_added(network: Subject) -> None:
    """More addresses and routes than the result's are no error. CNI 1.1.0, section 2, "CHECK"."""
    pod = await checked(network)
    pod.change(lambda route, index: route.addr("add", index=index, address="198.51.100.7", prefixlen=32))
    pod.change(lambda route, index: route.route("add", dst="203.0.113.0/24", oif=index))
    await network.check(pod)


@should
async def test_k11_after_del(network: Subject) -> None:
    """CHECK of what is detached is an error. CNI 1.1.0, section 3, "Lifecycle & Ordering"."""
    network.needs_check()
    pod, result = await network.attach()
    await network.delete(pod)
    with pytest.raises(CNIError):
        await network.check(pod)
    if network.implementation.make is None:  # a runtime that has its record still
        request = network.request(prevResult=result.to_wire())
        wire.refused(await wire.call(network.programs[0], network.environment("CHECK", pod), request))


@must
async def test_k12_it_changes_nothing(network: Subject) -> None:
    """However often: host and pod are as they were. CNI 1.1.0, section 2, "CHECK"."""
    network.needs_check()
    pod, _ = await network.attach()
    before = pod.link, pod.routes(), network.host.run(look)
    for _ in range(3):
        await network.check(pod)
    assert (pod.link, pod.routes(), network.host.run(look)) == before
