"""ADD: what a pod gets, and that it is what the result says."""

import secrets
from pathlib import Path

import pytest

from cni.errors import CNIError
from cni.result import Result
from cni.testing import claims, wire
from cni.testing import pod as pods
from cni.testing.levels import must, should
from cni.testing.pod import Pod
from cni.testing.subject import Subject

pytestmark = pytest.mark.asyncio

KUBERNETES_ARGS = {
    "IgnoreUnknown": "1",
    "K8S_POD_NAMESPACE": "default",
    "K8S_POD_NAME": "web",
    "K8S_POD_INFRA_CONTAINER_ID": "0123456789abcdef",
    "K8S_POD_UID": "9f0b5c1e-93a1-4d2c-9d0e-5a4f6f7a8b9c",
}


def addresses_of(result: Result, pod: Pod) -> list[str]:
    """Addresses, with prefix lengths, that the result gives to the pod's interface."""
    own = set(result.pod_ips(pod.attachment.ifname))
    return sorted(ip.address for ip in result.ips if ip.address.partition("/")[0] in own)


@must
async def test_a1_the_result_is_of_the_configurations_version(network: Subject) -> None:
    """The result says the version that was asked for. CNI 1.1.0, section 5, "ADD Success"."""
    _, result = await network.attach()
    assert result.cni_version == network.config.cni_version


@must
async def test_a2_the_interface_is_up_with_every_address(network: Subject) -> None:
    """CNI_IFNAME is in the namespace, up, with the result's addresses and prefix lengths. CNI 1.1.0, section 2, "ADD"."""
    pod, result = await network.attach()
    assert pod.link.is_up
    assert list(pod.link.addresses) == addresses_of(result, pod)


@must
async def test_a3_interfaces_are_as_reported(network: Subject) -> None:
    """MAC and MTU are the real ones; `sandbox` is CNI_NETNS for what is inside. CNI 1.1.0, section 5, "ADD Success"."""
    pod, result = await network.attach()
    inside = [interface for interface in result.interfaces if interface.sandbox]
    for interface in inside:
        assert interface.sandbox == pod.attachment.netns
        link = pod.links()[interface.name]
        assert interface.mac.lower() in ("", link.mac)
        assert interface.mtu in (0, link.mtu)
    assert pod.attachment.ifname in {interface.name for interface in inside} or not result.interfaces


@must
async def test_a4_interfaces_on_the_host_exist(network: Subject) -> None:
    """Those without a sandbox are on the host, and indexes point at what is listed. CNI 1.1.0, section 5, "ADD Success"."""
    _, result = await network.attach()
    here = network.host.run(pods.links)
    for interface in result.interfaces:
        if not interface.sandbox:
            assert interface.name in here
            assert interface.mac.lower() in ("", here[interface.name].mac)
    assert all(ip.interface is None or ip.interface in range(len(result.interfaces)) for ip in result.ips)


@must
async def test_a5_routes_are_as_reported(network: Subject) -> None:
    """Every route of the result is there, by the gateway that it names. CNI 1.1.0, section 5, "ADD Success"."""
    pod, result = await network.attach()
    there = pod.routes()
    for route in result.routes:
        assert any(route.dst == dst and route.gw in ("", gateway) for dst, gateway in there), (route, there)


@must
async def test_a6_a_name_that_is_taken(network: Subject) -> None:
    """An interface of that name is in the namespace: ADD fails, and leaves it alone. CNI 1.1.0, section 2, "ADD"."""
    pod = network.pod()
    pod.run(lambda: pods.make_link(pod.attachment.ifname))
    before = pod.links()
    with pytest.raises(CNIError):
        await network.add(pod)
    after = pod.links()
    # by its MAC: a DEL of what failed may take an interface of the name away
    assert after.get(pod.attachment.ifname, before[pod.attachment.ifname]).mac == before[pod.attachment.ifname].mac


@should
async def test_a7_the_same_again(network: Subject) -> None:
    """A second ADD of a container's interface fails, and the first goes on. CNI 1.1.0, section 3, "Lifecycle & Ordering"."""
    pod, _ = await network.attach()
    before = pod.link
    with pytest.raises(CNIError):
        await network.verbs.add(pod.attachment)
    assert pod.link == before
    if network.implementation.make is None:  # a runtime that has no record of the first one
        wire.refused(await wire.call(network.programs[0], network.environment("ADD", pod), network.request()))
        assert pod.link == before


@must
async def test_a8_a_second_interface(network: Subject) -> None:
    """The same container as net1, too: an interface and addresses of its own. CNI 1.1.0, section 3, "Lifecycle & Ordering"."""
    pod, first = await network.attach()
    second = pod.another("net1")
    result = await network.add(second)
    assert set(result.pod_ips("net1")).isdisjoint(first.pod_ips())
    assert second.link.is_up
    assert pod.link.is_up


@must
async def test_a10_a_later_plugin_fails(network: Subject) -> None:
    """A chain whose last plugin refuses leaves nothing, when it has had its DEL. CNI 1.1.0, section 3."""
    assert network.programs
    folder = network.folder / "bin"
    folder.mkdir()
    (folder / "refuses").write_text(
        "#!/bin/sh\n"
        '[ "$CNI_COMMAND" = DEL ] && exit 0\n'
        'echo \'{"cniVersion": "0.4.0", "code": 100, "msg": "as it was told to"}\'\nexit 1\n'
    )
    (folder / "refuses").chmod(0o755)
    chain = network.with_chain({"type": "refuses"}).with_bin_dir(folder)
    pod = chain.pod()
    with pytest.raises(CNIError, match="as it was told to"):
        await chain.add(pod)
    assert pod.links() == {}
    await network.left_behind()


@must
async def test_a17_arguments_of_kubernetes(network: Subject) -> None:
    """CNI_ARGS as every runtime of Kubernetes gives them are accepted. CNI conventions, "CNI_ARGS"."""
    pod, _ = await network.attach(args=KUBERNETES_ARGS)
    assert pod.link.is_up


@must
async def test_a20_the_ipam_program_is_missing(network: Subject) -> None:
    """The error names it, and a DEL later takes away what there is. CNI 1.1.0, section 4."""
    assert network.programs
    kinds = [part.raw["ipam"]["type"] for part in network.config.plugins if part.raw.get("ipam", {}).get("type")]
    if not kinds:
        pytest.skip("not claimed: no plugin delegates to an IPAM plugin")
    folder = network.folder / "bin"
    folder.mkdir()
    for part, program in zip(network.config.plugins, network.programs, strict=True):
        (folder / part.type).symlink_to(program)
    lacking = network.with_bin_dir(folder, alone=True)
    pod = lacking.pod()
    with pytest.raises(CNIError, match=kinds[0]):
        await lacking.verbs.add(pod.attachment)
    await network.delete(pod)


@should
async def test_a22_addresses_can_be_used_at_once(network: Subject) -> None:
    """No IPv6 address is tentative when ADD has returned. Kubernetes starts containers at that moment."""
    pod, result = await network.attach()
    of_ipv6 = [ip for ip in result.ips if ":" in ip.address]
    claims.found(of_ipv6, "IPv6 addresses", claimed=claims.ipv6(network.config))
    assert not pod.link.tentative


@must
async def test_a23_long_names(network: Subject) -> None:
    """A container id of 64 characters, and a pod's name of 63. CNI 1.1.0, section 2, "Parameters"; names of links are bounded."""
    args = {**KUBERNETES_ARGS, "K8S_POD_NAME": "p" * 63, "K8S_POD_NAMESPACE": "n" * 63}
    pod, result = await network.attach(container_id=secrets.token_hex(32), args=args)
    assert result.pod_ips() or not result.ips
    assert pod.link.is_up


@must
async def test_n13_sysctls_stay(network: Subject) -> None:
    """What the runtime has set in the namespace before ADD is not changed by it. Kubernetes: a pod's safe sysctls."""
    pod = network.pod()
    path = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    pod.run(lambda: path.write_text("80"))
    await network.add(pod)
    assert pod.run(path.read_text) == "80\n"
