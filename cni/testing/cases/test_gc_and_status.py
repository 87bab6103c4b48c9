"""GC and STATUS. What a runtime remembers is collected in every version; the commands are from 1.1.0 on."""

import pytest

from cni import version
from cni.errors import BadOutput, CNIError, PluginError, Unavailable
from cni.testing import variants
from cni.testing.levels import must, should
from cni.testing.subject import Subject

pytestmark = pytest.mark.asyncio


@must
async def test_g1_what_is_valid_stays(network: Subject) -> None:
    """Pods that are on the list lose nothing. CNI 1.1.0, section 2, "GC"."""
    pods = [await network.attach() for _ in range(2)]
    before = [(pod.link, pod.routes(), network.reservations(pod, result)) for pod, result in pods]
    await network.verbs.gc([(pod.attachment.container_id, pod.attachment.ifname) for pod, _ in pods])
    assert [(pod.link, pod.routes(), network.reservations(pod, result)) for pod, result in pods] == before


@should
async def test_g2_a_pod_that_was_lost(network: Subject) -> None:
    """A namespace went without a DEL: its reservations are released, no others. CNI 1.1.0, section 2, "GC"."""
    (lost, _), (stays, result) = await network.attach(), await network.attach()
    before = stays.link, network.reservations(stays, result)
    lost.lose_namespace()
    await network.verbs.gc([(stays.attachment.container_id, stays.attachment.ifname)])
    assert network.files_about(lost) == []
    assert (stays.link, network.reservations(stays, result)) == before
    network.forget(lost)


@should
@pytest.mark.parametrize("lost", [True, False], ids=["lost", "there"])
async def test_g3_nothing_is_valid(network: Subject, lost: bool) -> None:
    """An empty list: everything of the network goes, whether the pod's namespace is there or not. CNI 1.1.0, section 2, "GC"."""
    pod, _ = await network.attach()
    if lost:
        pod.lose_namespace()
    await network.verbs.gc([])
    assert lost or pod.attachment.ifname not in pod.links()
    network.forget(pod)


@must
async def test_g4_another_network(network: Subject) -> None:
    """One network's list says nothing of another's pods. CNI 1.1.0, section 2, "GC"."""
    second = await variants.another_network(network)
    pod, result = await second.attach()
    before = pod.link, pod.routes(), second.reservations(pod, result)
    await network.verbs.gc([])
    assert (pod.link, pod.routes(), second.reservations(pod, result)) == before


@should
async def test_p5_after_a_restart_of_the_host(network: Subject) -> None:
    """Namespaces and the runtime's records are gone, reservations are not: a DEL frees them. CNI 1.1.0, section 2, "DEL"."""
    small = network.with_pool_of(1)
    lost, _ = await small.attach()
    lost.lose_namespace()
    await small.forgetful().verbs.delete(lost.attachment)
    await small.forgetful().attach()


@must
async def test_g5_one_interface_of_two(network: Subject) -> None:
    """Of a container, only the interface that is not listed goes. CNI 1.1.0, section 2, "GC"."""
    pod, result = await network.attach()
    other = pod.another("net1")
    await network.add(other)
    before = network.reservations(pod, result)
    await network.verbs.gc([(pod.attachment.container_id, pod.attachment.ifname)])
    assert network.reservations(pod, result) == before


@should
async def test_g11_the_records_are_lost(network: Subject) -> None:
    """A runtime remembers only who is valid: the plugins release what others had. CNI 1.1.0, section 2, "GC"."""
    network.needs_version(version.GC, "GC")
    (lost, given), (stays, result) = await network.attach(), await network.attach()
    before = stays.link, network.reservations(stays, result)
    if not network.reservations(lost, given):
        pytest.skip("not claimed: no files about single addresses")
    lost.lose_namespace()
    await network.forgetful().verbs.gc([(stays.attachment.container_id, stays.attachment.ifname)])
    assert network.reservations(lost, given) == []
    assert (stays.link, network.reservations(stays, result)) == before


@should
async def test_g10_unknown_attachments(network: Subject) -> None:
    """Names on the list that nobody knows are no error. CNI 1.1.0, section 2, "GC"."""
    pod, _ = await network.attach()
    before = pod.link
    await network.verbs.gc([(pod.attachment.container_id, "eth0"), ("nobody", "eth0")])
    assert pod.link == before


@must
async def test_s1_status(network: Subject) -> None:
    """A network that works says so. CNI 1.1.0, section 2, "STATUS"."""
    network.needs_version(version.STATUS, "STATUS")
    await network.verbs.status()


@should
async def test_s2_no_address_left(network: Subject) -> None:
    """The pool is used up: code 50, or 51. CNI 1.1.0, section 2, "STATUS"."""
    network.needs_version(version.STATUS, "STATUS")
    small = network.with_pool_of(1)
    await small.attach()
    with pytest.raises(Unavailable):
        await small.verbs.status()


@must
async def test_s3_the_ipam_program_is_missing(network: Subject) -> None:
    """What an ADD needs is not there, and a STATUS says so. CNI 1.1.0, section 2, "STATUS"."""
    network.needs_version(version.STATUS, "STATUS")
    variants.stand_in(network)
    folder = network.folder / "alone"
    folder.mkdir()
    for part, program in zip(network.config.plugins, network.programs, strict=True):
        (folder / part.type).symlink_to(program)
    with pytest.raises(PluginError):
        await network.with_bin_dir(folder, alone=True).verbs.status()


@must
async def test_s5_an_add_all_the_same(network: Subject) -> None:
    """STATUS fails: an ADD is an error like any other, and when there is room both work. CNI 1.1.0, section 2, "STATUS"."""
    network.needs_version(version.STATUS, "STATUS")
    small = network.with_pool_of(1)
    first, _ = await small.attach()
    late = small.pod()
    with pytest.raises(CNIError) as caught:
        await small.add(late)
    assert not isinstance(caught.value, BadOutput)
    await small.delete(first)
    await small.verbs.status()
    await small.add(late)
