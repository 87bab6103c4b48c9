"""DEL: whatever has happened since, it succeeds, and nothing is left. What is left is looked for after every check."""

import asyncio

import pytest

from cni.testing import claims
from cni.testing.host import look, make_foreign_rule, remove_foreign_rule, settings
from cni.testing.levels import must, should
from cni.testing.subject import Subject
from cni.testing.traffic import ask, tcp_server

pytestmark = pytest.mark.asyncio

PORT = 8080


@must
async def test_d1_everything_goes(network: Subject) -> None:
    """The interface, what is on the host for it, and what was reserved. CNI 1.1.0, section 2, "DEL"."""
    pod, _ = await network.attach()
    await network.delete(pod)
    assert pod.attachment.ifname not in pod.links()
    await network.left_behind()


@must
async def test_d2_deleted_again(network: Subject) -> None:
    """A DEL of what is gone already succeeds, as often as it comes. CNI 1.1.0, section 2, "DEL"."""
    pod, _ = await network.attach()
    for _ in range(3):
        await network.delete(pod)


@must
async def test_d3_never_added(network: Subject) -> None:
    """A DEL of what was never there succeeds. CNI 1.1.0, section 2, "DEL"."""
    await network.delete(network.pod())


@must
async def test_d4_no_namespace_is_named(network: Subject) -> None:
    """CNI_NETNS is empty: what can be released is released. CNI 1.1.0, section 2, "DEL"."""
    pod, _ = await network.attach()
    pod.lose_namespace()
    await network.delete(pod, netns="")


@must
async def test_d5_the_namespace_is_gone(network: Subject) -> None:
    """CNI_NETNS names a file that is there no more. CNI 1.1.0, section 2, "DEL"."""
    pod, _ = await network.attach()
    pod.lose_namespace()
    await network.delete(pod)


@should
async def test_d6_no_namespace_at_the_path(network: Subject) -> None:
    """CNI_NETNS is a plain file, as of a namespace that was unmounted by somebody. CNI 1.1.0, section 2, "DEL"."""
    pod, _ = await network.attach()
    pod.lose_namespace()
    pod.namespace.touch()
    await network.delete(pod)


@must
async def test_d7_the_result_is_lost(network: Subject) -> None:
    """A DEL without prevResult, of a runtime that lost its records, succeeds. CNI 1.1.0, section 3, "Lifecycle & Ordering"."""
    pod, _ = await network.attach()
    await network.forgetful().verbs.delete(pod.attachment)
    assert pod.attachment.ifname not in pod.links()


@must
async def test_d9_the_interface_was_taken_away(network: Subject) -> None:
    """By somebody else: a DEL succeeds all the same. CNI 1.1.0, section 2, "DEL"."""
    pod, _ = await network.attach()
    pod.change(lambda route, index: route.link("del", index=index))
    await network.delete(pod)


@must
async def test_d10_the_reservation_was_taken_away(network: Subject) -> None:
    """The files of the IPAM plugin about the pod are gone: a DEL succeeds. CNI 1.1.0, section 2, "DEL"."""
    pod, result = await network.attach()
    files = network.reservations(pod, result)
    if not files:
        pytest.skip("not claimed: no files about single addresses")
    for path in files:
        path.unlink()
    await network.delete(pod)


@must
async def test_d11_others_are_left_alone(network: Subject) -> None:
    """A pod's neighbour keeps interface, addresses, routes and reservation. CNI 1.1.0, section 2, "DEL"."""
    (gone, _), (stays, result) = await network.attach(), await network.attach()
    before = stays.link, stays.routes(), network.reservations(stays, result)
    await network.delete(gone)
    assert (stays.link, stays.routes(), network.reservations(stays, result)) == before


@must
async def test_d12_another_interface_is_left_alone(network: Subject) -> None:
    """Of a container with two, one goes: the other keeps all that is its own. CNI 1.1.0, section 3, "Lifecycle & Ordering"."""
    pod, _ = await network.attach()
    other = pod.another("net1")
    result = await network.add(other)
    before = other.link, network.reservations(other, result)
    await network.delete(pod)
    assert (other.link, network.reservations(other, result)) == before


@must
async def test_d16_others_are_still_reached(network: Subject) -> None:
    """When a pod has gone, those that stay reach each other. CNI 1.1.0, section 2, "DEL"."""
    (gone, _), (client, _), (server, served) = [await network.attach() for _ in range(3)]
    await network.delete(gone)
    async with tcp_server(server.namespace, PORT):
        for ip in claims.found(served.pod_ips(), "addresses", claimed=claims.addresses(network.config)):
            assert (await ask(client.namespace, ip, PORT)).startswith("server ")


@should
async def test_l3_what_the_host_had(network: Subject) -> None:
    """Routes, rules and settings of the node's own are as they were: with a pod, and after it. Kubernetes network model."""

    def had() -> tuple[frozenset[str], dict[str, str]]:
        return look(), settings()

    network.host.run(make_foreign_rule)
    lines, values = network.host.run(had)
    pod, _ = await network.attach()
    for _ in ("with a pod", "after it"):
        there, then = network.host.run(had)
        assert sorted(lines - there) == []
        assert {name: value for name, value in then.items() if values.get(name, value) != value} == {}
        await network.delete(pod)
    network.host.run(remove_foreign_rule)


@should
async def test_l2_many_rounds(network: Subject) -> None:
    """Pods that come and go leave the host as they found it. CNI 1.1.0, section 2, "DEL"."""
    for _ in range(3):
        attached = await asyncio.gather(*(network.attach() for _ in range(3)))
        await asyncio.gather(*(network.delete(pod) for pod, _ in attached))
        await network.left_behind()
