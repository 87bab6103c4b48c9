"""What a plugin is told besides: arguments, keys and values that it does not know, capabilities that it does."""

import ipaddress
from dataclasses import replace
from typing import Any

import pytest

from cni import result, version
from cni.errors import BadOutput, CNIError
from cni.testing import claims, variants, wire
from cni.testing.cases.test_protocol import INVALID_ENVIRONMENT, UNDECODABLE, made_before, supported
from cni.testing.levels import may, must, should
from cni.testing.subject import Subject

pytestmark = pytest.mark.asyncio


@may
async def test_v2_version_echoes(network: Subject) -> None:
    """The answer is in the version of the question. CNI 1.1.0, section 5, "Version"."""
    for program in network.programs:
        answer = wire.succeeded(await wire.call(program, {"CNI_COMMAND": "VERSION"}, {"cniVersion": "0.4.0"}))
        said = answer.document["cniVersion"]
        assert said == "0.4.0", f"{program.name}: VERSION in 0.4.0 is answered in {said}"


@may
async def test_e1_no_command(network: Subject) -> None:
    """Code 4, or a word about itself on standard error: nothing is done. Observed of the reference plugins."""
    for place, program in enumerate(network.programs):
        environment = network.environment("ADD", network.pod(), COMMAND=None)
        answer = await wire.call(program, environment, network.request(place))
        if answer.status != 0:
            wire.refused(answer, INVALID_ENVIRONMENT)
        assert answer.status != 0 or not answer.stdout.strip(), f"no command is answered: {answer}"


@should
async def test_e3_a_command_in_small_letters(network: Subject) -> None:
    """`add` is no command: code 4. CNI 1.1.0, section 2, "Parameters"."""
    answer = await wire.call(network.programs[0], network.environment("add", network.pod()), network.request())
    wire.refused(answer, INVALID_ENVIRONMENT)


@should
async def test_e5_all_parameters_are_missing(network: Subject) -> None:
    """Code 4, and the message names each. CNI 1.1.0, section 2, "ADD"."""
    names = ("CONTAINERID", "NETNS", "IFNAME")
    environment = network.environment("ADD", network.pod(), **dict.fromkeys(names))
    said = wire.refused(await wire.call(network.programs[0], environment, network.request()), INVALID_ENVIRONMENT)
    assert [name for name in names if f"CNI_{name}" not in said["msg"]] == [], said["msg"]


@must
async def test_d13_del_of_what_is_no_json(network: Subject) -> None:
    """Code 6, and the pod is as it was. CNI 1.1.0, section 5, "Error"."""
    assert network.programs
    pod, _ = await network.attach()
    before = pod.link, pod.routes()
    wire.refused(await wire.call(network.programs[0], network.environment("DEL", pod), b'{"cniV'), UNDECODABLE)
    assert (pod.link, pod.routes()) == before


@should
async def test_d15_del_in_another_version(network: Subject) -> None:
    """Newer or older than the ADD, with the result in that version. CNI 1.1.0, section 3, "Lifecycle & Ordering"."""
    program = network.programs[0]
    versions = [
        known for known in version.KNOWN if known in await supported(program) and known >= version.DEL_PREV_RESULT
    ]
    if len(versions) < 2:
        pytest.skip("not claimed: the plugin has one version only in which DEL has a result")
    for before, after in (versions[0], versions[-1]), (versions[-1], versions[0]):
        pod = network.pod()
        request = network.request(cniVersion=before)
        answer = wire.succeeded(await wire.call(program, network.environment("ADD", pod), request))
        made = result.decode(answer.document, before)
        request = network.request(cniVersion=after, prevResult=made.to_wire(after))
        wire.succeeded(await wire.call(program, network.environment("DEL", pod), request))
        assert pod.attachment.ifname not in pod.links()
        await network.left_behind()


@must
async def test_a11_a_result_before_the_first(network: Subject) -> None:
    """A plugin that begins chains is given prevResult: a result that holds, or an error. CNI 1.1.0, section 2, "ADD"."""
    program, pod = network.programs[0], network.pod()
    before = result.Result(
        cni_version=network.config.cni_version,
        interfaces=(result.Interface(name="natest0", sandbox=pod.attachment.netns),),
        ips=(result.IPConfig(address="198.51.100.9/24", interface=0),),
    )
    request = network.request(prevResult=before.to_wire())
    answer = await wire.call(program, network.environment("ADD", pod), request)
    if answer.status == 0:
        after = result.decode(answer.document, "")
        assert set(after.pod_ips(pod.attachment.ifname)) >= {
            address.partition("/")[0] for address in pod.link.addresses
        }
    else:
        wire.refused(answer)
    wire.succeeded(await wire.call(program, network.environment("DEL", pod), network.request()))


@may
async def test_a14_a_result_of_an_older_version(network: Subject) -> None:
    """prevResult in 0.3.1's form: the answer is in the version asked for, or an error. Runtimes convert. CNI 1.1.0, section 3."""
    chained = [place for place in range(1, len(network.programs)) if not network.request(place).get("ipam")]
    if not chained:
        pytest.skip("not claimed: nothing is chained")
    for place in chained:
        pod, program = network.pod(), network.programs[place]
        before = made_before(pod, "0.3.1")
        request = network.request(place, prevResult=before.to_wire())
        answer = await wire.call(program, network.environment("ADD", pod), request)
        if answer.status != 0:
            wire.refused(answer)
        else:
            after = result.decode(answer.document, "")
            assert (after.cni_version, after.ips) == (network.config.cni_version, before.ips)
        wire.succeeded(await wire.call(program, network.environment("DEL", pod), network.request(place)))


VALUES: dict[str, Any] = {"mac": "c2:11:22:33:44:55", "dns": {"servers": ["192.0.2.53"], "searches": ["example.org"]}}


@should
@pytest.mark.parametrize("capability", ["mac", "ips", "ipRanges", "dns"])
async def test_a15_what_the_runtime_asks_for(network: Subject, capability: str) -> None:
    """The value of a capability that is declared takes effect. CNI conventions, "Dynamic Plugin specific fields"."""
    network.needs_capability(capability)
    if capability == "mac":
        pod, _ = await network.attach(capabilities={capability: VALUES[capability]})
        assert pod.link.mac == VALUES[capability]
        return
    if capability == "dns":
        _, made = await network.attach(capabilities={capability: VALUES[capability]})
        assert made.dns == result.DNS(nameservers=("192.0.2.53",), search=("example.org",))
        return
    _, made = await network.attach()
    claims.found(made.pod_ips(), "addresses", claimed=claims.addresses(network.config))
    own = ipaddress.ip_interface(next(ip.address for ip in made.ips if ip.address.startswith(made.pod_ips()[0])))
    wanted = own.network[-6]
    if capability == "ips":
        _, asked = await network.attach(capabilities={"ips": [f"{wanted}/{own.network.prefixlen}"]})
    else:
        one = {"subnet": str(own.network), "rangeStart": str(wanted), "rangeEnd": str(wanted)}
        _, asked = await variants.without_ranges(network).attach(capabilities={"ipRanges": [[one]]})
    assert str(wanted) in asked.pod_ips()


@should
async def test_a16_values_that_nobody_knows(network: Subject) -> None:
    """Of capabilities that the plugins do not have: ignored by each. CNI 1.1.0, section 3, "Deriving execution configuration"."""
    pod, _ = await variants.with_keys(network, runtimeConfig={"example.org/natest": {"a": [1]}}).attach()
    assert pod.link.is_up


@may
async def test_a18_arguments_that_nobody_knows(network: Subject) -> None:
    """CNI_ARGS without IgnoreUnknown: success, or an error that leaves nothing. CNI conventions, "CNI_ARGS"."""
    pod = network.pod(args={"NATEST": "unknown"})
    try:
        await network.verbs.add(pod.attachment)
    except BadOutput:
        raise
    except CNIError:
        await network.verbs.delete(replace(pod.attachment, args={}))
    else:
        assert pod.link.is_up
        await network.verbs.delete(pod.attachment)
    assert pod.attachment.ifname not in pod.links()


@may
async def test_a19_keys_of_the_runtime(network: Subject) -> None:
    """`capabilities` left in, and reserved ones under cni.dev/: accepted. Observed of the reference plugins."""
    kept: dict[str, Any] = {"cni.dev/natest": {}, "cni.dev/attachments": []}
    pod, _ = await variants.with_keys(network, **kept).attach()
    assert pod.link.is_up
    if network.implementation.make is None:
        other = network.pod()
        request = network.request(capabilities={"example.org/natest": True}, **kept)
        wire.succeeded(await wire.call(network.programs[0], network.environment("ADD", other), request))
        wire.succeeded(await wire.call(network.programs[0], network.environment("DEL", other), request))


@must
async def test_a9_two_networks(network: Subject) -> None:
    """One container on both: both work, and a DEL of one leaves the other. CNI 1.1.0, section 3, "Lifecycle & Ordering"."""
    second = await variants.another_network(network)
    pod, made = await network.attach()
    other = pod.another("net1")
    result = await second.add(other)
    assert set(result.pod_ips("net1")).isdisjoint(made.pod_ips())
    before = other.link, second.reservations(other, result)
    await network.delete(pod)
    assert (other.link, second.reservations(other, result)) == before
