"""CHECK: agrees with what ADD made, and notices what was changed."""

from collections.abc import Callable
from functools import partial

import pytest
from pyroute2 import IPRoute

from cni.errors import CNIError, PluginError
from cni.testing import claims, shaping, wire
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


async def noticed(network: Subject, pod: Pod, what: str) -> None:
    """CHECK of the pod must fail, as `what` has happened to it."""
    try:
        await network.check(pod)
    except PluginError:
        return
    raise AssertionError(f"CHECK finds nothing wrong: {what}")


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
    await noticed(network, pod, f"the interface is {change}")


@should
@pytest.mark.parametrize("change", ["gone", "others"])
async def test_k5_an_address(network: Subject, change: str) -> None:
    """Its addresses are gone, or another is there instead: an error. CNI 1.1.0, section 2, "CHECK"."""
    pod = await checked(network)
    claims.found(pod.link.addresses, "addresses", claimed=claims.addresses(network.config))
    pod.change(lambda route, index: route.flush_addr(index=index))
    if change == "others":
        pod.change(lambda route, index: route.addr("add", index=index, address="198.51.100.7", prefixlen=24))
    await noticed(network, pod, f"the addresses are {change}")


@should
async def test_k6_a_route(network: Subject) -> None:
    """A route that the result lists is gone: an error. CNI 1.1.0, section 2, "CHECK"."""
    network.needs_check()
    pod, result = await network.attach()
    await network.check(pod)
    claims.found(result.routes, "routes", claimed=claims.routes(network.config))
    pod.change(lambda route, index: route.flush_routes(oif=index))
    await noticed(network, pod, "the routes are gone")


@should
@pytest.mark.parametrize("change", ["gone", "detached"])
async def test_k7_the_end_on_the_host(network: Subject, change: str) -> None:
    """The host's end of the pod's link is gone, or on no bridge any more: an error. CNI 1.1.0, section 2, "CHECK"."""
    network.needs_check()
    pod, result = await network.attach()
    await network.check(pod)
    ours = {item.name for item in result.interfaces if not item.sandbox} & network.host.run(pods.peers)
    if not ours:
        pytest.skip("not claimed: the result lists no end of a veth on the host")
    if change == "detached" and not ours & network.host.run(pods.ports_of_bridges):
        pytest.skip("not claimed: no end of a veth is on a bridge")
    for name in ours:
        network.host.run(partial(pods.delete_link if change == "gone" else pods.detach_link, name))
    await noticed(network, pod, f"the end on the host is {change}")


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
    await noticed(network, pod, "the reservation is gone")


@should
async def test_k9_a_host_ports_rules(network: Subject) -> None:
    """The firewall was flushed by somebody: an error, where the pod has a port of the host. CNI 1.1.0, section 2, "CHECK"."""
    network.needs_check()
    network.needs_capability("portMappings")
    mapping = {"hostPort": 30080, "containerPort": 8080, "protocol": "tcp"}
    pod, _ = await network.attach(capabilities={"portMappings": [mapping]})
    await network.check(pod)
    network.host.run(flush_firewall)
    await noticed(network, pod, "the rules of a host port are gone")


@should
async def test_k14_shaping(network: Subject) -> None:
    """What limits the bandwidth was taken away: an error. CNI 1.1.0, section 2, "CHECK"."""
    network.needs_check()
    network.needs_capability("bandwidth")
    pod, _ = await network.attach(capabilities={"bandwidth": shaping.LIMITS})
    await network.check(pod)
    before = network.host.run(shaping.limited)
    for name in before:
        network.host.run(partial(shaping.unlimit, name))
    assert before, "no interface of the host limits what it sends"
    await noticed(network, pod, "the limits of bandwidth are gone")


@should
async def test_k15_rules_of_a_firewall(network: Subject) -> None:
    """The rules that let a pod's traffic through were flushed: an error. CNI 1.1.0, section 2, "CHECK"."""
    if not any(part.type == "firewall" for part in network.config.plugins):
        pytest.skip("not claimed: no plugin firewall")
    pod = await checked(network)
    network.host.run(flush_firewall)
    await noticed(network, pod, "the rules of the firewall are gone")


@should
async def test_k16_settings(network: Subject) -> None:
    """The MTU that the result or the configuration says is another by now: an error. Option `mtu` of tuning."""
    wanted = [part.raw["mtu"] for part in network.config.plugins if part.type == "tuning" and part.raw.get("mtu")]
    if not wanted:
        pytest.skip("not claimed: no plugin tuning that sets the MTU")
    pod = await checked(network)
    assert pod.link.mtu == wanted[-1]
    pod.change(lambda route, index: route.link("set", index=index, mtu=wanted[-1] - 8))
    await noticed(network, pod, "the MTU is another")


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
