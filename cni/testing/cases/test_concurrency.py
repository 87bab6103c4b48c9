"""Many at once, and no more than there is room for."""

import asyncio

import pytest

from cni.errors import CNIError
from cni.testing.levels import must
from cni.testing.subject import Subject

pytestmark = pytest.mark.asyncio

AT_ONCE = 20


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
    with pytest.raises(CNIError):
        await small.add(late)
    assert small.leftovers() == before
    assert late.links() == {}
    await small.delete(pods[0][0])
    await small.add(late)


@must
async def test_p4_given_up_in_the_middle(network: Subject) -> None:
    """An ADD is given up at some moment: its DEL leaves nothing. CNI 1.1.0, section 3, "Lifecycle & Ordering"."""
    for milliseconds in (0, 5, 15, 40):
        pod = network.pod()
        adding = asyncio.create_task(network.add(pod))
        await asyncio.sleep(milliseconds / 1000)
        adding.cancel()
        await asyncio.gather(adding, return_exceptions=True)
        await network.delete(pod)
        await network.left_behind()
