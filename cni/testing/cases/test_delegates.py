"""The IPAM plugin that a plugin delegates to: it is asked what it must be, and its errors are passed on."""

import pytest

from cni import version
from cni.errors import CNIError, PluginError
from cni.testing import variants
from cni.testing.levels import must, should
from cni.testing.subject import Subject

pytestmark = pytest.mark.asyncio

REFUSES = "the stand-in refuses"


@must
async def test_a24_the_ipam_plugin_refuses(network: Subject) -> None:
    """Its error is that of the ADD, and a DEL leaves nothing. CNI 1.1.0, section 4, "Delegated Plugin Execution Procedure"."""
    ipam = variants.stand_in(network)
    ipam.fail("ADD")
    pod = ipam.network.pod()
    with pytest.raises(CNIError) as caught:
        await ipam.network.add(pod)
    ipam.asked()
    assert REFUSES in str(caught.value)
    await ipam.network.delete(pod)
    assert pod.attachment.ifname not in pod.links()
    await network.left_behind()


@must
async def test_d14_the_ipam_plugin_fails_at_del(network: Subject) -> None:
    """The error is passed on, and a DEL later succeeds. CNI 1.1.0, section 4, "Delegated Plugin Execution Procedure"."""
    ipam = variants.stand_in(network)
    pod, _ = await ipam.network.attach()
    ipam.asked()
    ipam.fail("DEL")
    with pytest.raises(PluginError, match=REFUSES):
        await ipam.network.delete(pod)
    ipam.tell("DEL")
    await ipam.network.delete(pod)


@must
async def test_k13_check_is_passed_on(network: Subject) -> None:
    """A CHECK asks the IPAM plugin, too. CNI 1.1.0, section 4, "Delegated Plugin Execution Procedure"."""
    network.needs_check()
    ipam = variants.stand_in(network)
    pod, _ = await ipam.network.attach()
    ipam.asked()
    await ipam.network.check(pod)
    assert "CHECK" in ipam.asked()
    ipam.fail("CHECK")
    with pytest.raises(PluginError, match=REFUSES):
        await ipam.network.check(pod)


@must
async def test_g8_gc_is_passed_on(network: Subject) -> None:
    """A GC asks the IPAM plugin, too. CNI 1.1.0, section 4, "Delegated Plugin Execution Procedure"."""
    network.needs_version(version.GC, "GC")
    ipam = variants.stand_in(network)
    pod, _ = await ipam.network.attach()
    ipam.asked()
    await ipam.network.verbs.gc([(pod.attachment.container_id, pod.attachment.ifname)])
    assert "GC" in ipam.asked()


@must
async def test_s6_status_is_passed_on(network: Subject) -> None:
    """A STATUS asks the IPAM plugin, too, and fails as it does. CNI 1.1.0, section 2, "STATUS"."""
    network.needs_version(version.STATUS, "STATUS")
    ipam = variants.stand_in(network)
    await ipam.network.attach()
    ipam.asked()
    ipam.fail("STATUS")
    with pytest.raises(PluginError, match=REFUSES):
        await ipam.network.verbs.status()


@should
@pytest.mark.parametrize("reserved", [False, True], ids=["before", "after"])
async def test_p10_killed_at_the_ipam_plugin(network: Subject, reserved: bool) -> None:
    """SIGKILL before or after an address is reserved: a DEL leaves nothing. CNI 1.1.0, section 3, "Lifecycle & Ordering"."""
    ipam = variants.stand_in(network)
    ipam.tell("ADD", f"{'$REAL > /dev/null;' if reserved else ''} kill -9 $PPID; exit 1")
    pod = ipam.network.pod()
    with pytest.raises(CNIError):
        await ipam.network.add(pod)
    ipam.asked()
    await ipam.network.delete(pod)
    await network.left_behind()
