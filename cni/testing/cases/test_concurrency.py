"""Many at once, and no more than there is room for."""

import asyncio

import pytest

from cni import version
from cni.errors import CNIError, PluginTimeout
from cni.testing import claims, wire
from cni.testing.levels import may, must, should
from cni.testing.subject import Subject

pytestmark = pytest.mark.asyncio

AT_ONCE = 50
# after the beginning of a run: what a plugin does then differs from machine to machine, and what is left must not
MOMENTS_SECONDS = (0.005, 0.02, 0.05)


@must
async def test_p1_many_adds_at_once(network: Subject) -> None:
    """All succeed, with addresses and MACs of their own; so do their DELs. CNI 1.1.0, section 3, "Lifecycle & Ordering"."""
    pods = [network.pod() for _ in range(AT_ONCE)]
    results = await asyncio.gather(*(network.add(pod) for pod in pods))
    addresses = [ip for result in results for ip in result.pod_ips()]
    assert len(set(addresses)) == len(addresses)
    assert len({pod.link.mac for pod in pods}) == len(pods)
    await asyncio.gather(*(network.delete(pod) for pod in pods))


@must
async def test_p2_adds_beside_dels(network: Subject) -> None:
    """Pods come while others go: both work. CNI 1.1.0, section 3, "Lifecycle & Ordering"."""
    attached = await asyncio.gather(*(network.attach() for _ in range(4)))
    coming = [network.attach() for _ in range(4)]
    done = await asyncio.gather(*coming, *(network.delete(pod) for pod, _ in attached))
    assert all(item[0].link.is_up for item in done[:4] if item is not None)


@must
async def test_p3_a_pool_that_is_used_up(network: Subject) -> None:
    """One more than there are addresses fails and leaves nothing; after a DEL there is room again. CNI 1.1.0, section 4, IPAM."""
    small = network.with_pool_of(2)
    pods = [await small.attach() for _ in range(2)]
    before = small.leftovers()
    late = small.pod()
    with pytest.raises(CNIError) as caught:
        await small.add(late)
    assert not isinstance(caught.value, PluginTimeout), "it waits for an address, in place of failing"
    assert small.leftovers() == before
    assert late.links() == {}
    await small.delete(pods[0][0])
    await small.add(late)


@may
async def test_p7_an_address_rests(network: Subject) -> None:
    """What was given back is not given out next, while there are others. Observed of the reference plugins."""
    first, given = await network.attach()
    await network.delete(first)
    _, next_ = await network.attach()
    claims.found(given.pod_ips(), "addresses", claimed=claims.addresses(network.config))
    assert set(given.pod_ips()).isdisjoint(next_.pod_ips())


@should
async def test_p4_killed_in_the_middle_of_add(network: Subject) -> None:
    """SIGKILL at some moment: a DEL leaves nothing. CNI 1.1.0, section 3, "Lifecycle & Ordering"."""
    program, request = network.programs[0], network.request()
    for moment in MOMENTS_SECONDS:
        pod = network.pod()
        await wire.kill(program, network.environment("ADD", pod), request, moment)
        wire.succeeded(await wire.call(program, network.environment("DEL", pod), request))
        await network.left_behind()


@should
async def test_p9_killed_in_the_middle_of_del(network: Subject) -> None:
    """SIGKILL at some moment: the next DEL leaves nothing. CNI 1.1.0, section 2, "DEL"."""
    program, request = network.programs[0], network.request()
    for moment in MOMENTS_SECONDS:
        pod = network.pod()
        added = wire.succeeded(await wire.call(program, network.environment("ADD", pod), request))
        if network.config.supports(version.DEL_PREV_RESULT):
            request["prevResult"] = added.document
        await wire.kill(program, network.environment("DEL", pod), request, moment)
        wire.succeeded(await wire.call(program, network.environment("DEL", pod), request))
        request.pop("prevResult", None)
        await network.left_behind()


@must
async def test_p8_given_up_in_the_middle(network: Subject) -> None:
    """A runtime gives an ADD up at some moment: its DEL leaves nothing. CNI 1.1.0, section 3, "Lifecycle & Ordering"."""
    for moment in (0.0, *MOMENTS_SECONDS):
        pod = network.pod()
        adding = asyncio.create_task(network.add(pod))
        await asyncio.sleep(moment)
        adding.cancel()
        await asyncio.gather(adding, return_exceptions=True)
        await network.delete(pod)
        await network.left_behind()
