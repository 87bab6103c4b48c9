"""The protocol of the programs: parameters, standard input, versions, error objects. Nothing may be left of what they refuse."""

from typing import Any

import pytest

from cni import result, version
from cni.testing import claims, wire
from cni.testing import pod as pods
from cni.testing.levels import may, must, should
from cni.testing.pod import Pod
from cni.testing.subject import Subject

pytestmark = pytest.mark.asyncio

INVALID_VERSION, UNSUPPORTED_FIELD, INVALID_ENVIRONMENT, UNDECODABLE, INVALID_CONFIG = 1, 2, 4, 6, 7


@must
async def test_v1_version(network: Subject) -> None:
    """Every plugin says which versions it supports, that of the configuration among them. CNI 1.1.0, section 2, "VERSION"."""
    for program in network.programs:
        answer = wire.succeeded(await wire.call(program, {"CNI_COMMAND": "VERSION"}, {"cniVersion": "1.1.0"}))
        assert isinstance(answer.document["cniVersion"], str)
        assert network.config.cni_version in answer.document["supportedVersions"]


@may
async def test_v3_version_without_input(network: Subject) -> None:
    """Nothing on standard input: it still answers. Observed of the reference plugins."""
    for program in network.programs:
        wire.succeeded(await wire.call(program, {"CNI_COMMAND": "VERSION"}, b""))


@should
async def test_v5_versions_are_versions(network: Subject) -> None:
    """The list is the same each time, of semantic versions. CNI 1.1.0, section 5, "Version"."""
    for program in network.programs:
        first, second = [await supported(program) for _ in range(2)]
        assert first == second
        assert all(len([part for part in item.split(".") if part.isdecimal()]) == 3 for item in first)


async def supported(program: Any) -> list[str]:
    answer = wire.succeeded(await wire.call(program, {"CNI_COMMAND": "VERSION"}, {"cniVersion": "1.1.0"}))
    found: list[str] = answer.document["supportedVersions"]
    return found


@must
async def test_e2_an_unknown_command(network: Subject) -> None:
    """Code 4, and the message names CNI_COMMAND. CNI 1.1.0, section 5, "Error"."""
    pod = network.pod()
    for place, program in enumerate(network.programs):
        answer = await wire.call(program, network.environment("FOO", pod), network.request(place))
        assert "CNI_COMMAND" in wire.refused(answer, INVALID_ENVIRONMENT)["msg"]


@must
@pytest.mark.parametrize("name", ["CONTAINERID", "NETNS", "IFNAME"])
async def test_e4_a_parameter_is_missing(network: Subject, name: str) -> None:
    """An ADD without it: code 4, and the message names it. CNI 1.1.0, section 2, "ADD"."""
    pod = network.pod()
    answer = await wire.call(network.programs[0], network.environment("ADD", pod, **{name: None}), network.request())
    assert f"CNI_{name}" in wire.refused(answer, INVALID_ENVIRONMENT)["msg"]


@must
@pytest.mark.parametrize("name", ["CONTAINERID", "IFNAME"])
async def test_e6_a_parameter_of_del_is_missing(network: Subject, name: str) -> None:
    """A DEL without it: code 4. CNI 1.1.0, section 2, "DEL"."""
    environment = network.environment("DEL", network.pod(), **{name: None})
    wire.refused(await wire.call(network.programs[0], environment, network.request()), INVALID_ENVIRONMENT)


@must
@pytest.mark.parametrize("container_id", ["-bad", "a/b", ""])
async def test_e7_container_ids(network: Subject, container_id: str) -> None:
    """What is no container id: code 4. CNI 1.1.0, section 2, "Parameters"."""
    environment = network.environment("ADD", network.pod(), CONTAINERID=container_id)
    wire.refused(await wire.call(network.programs[0], environment, network.request()), INVALID_ENVIRONMENT)


@must
@pytest.mark.parametrize("ifname", ["sixteen-letters.", "a/b", ".", "a b"])
async def test_e8_interface_names(network: Subject, ifname: str) -> None:
    """What is no name of an interface: an error. CNI 1.1.0, section 2, "Parameters"."""
    environment = network.environment("ADD", network.pod(), IFNAME=ifname)
    wire.refused(await wire.call(network.programs[0], environment, network.request()))


@must
async def test_e9_no_namespace(network: Subject) -> None:
    """Nothing is at the path, or nothing that is a namespace: an error, and nothing is left. CNI 1.1.0, section 2, "ADD"."""
    plain = network.folder / "plain"
    plain.touch()
    for path in (plain, network.folder / "nothing"):
        pod = network.pod()
        environment = network.environment("ADD", pod, NETNS=str(path))
        wire.refused(await wire.call(network.programs[0], environment, network.request()))
        environment = network.environment("DEL", pod, NETNS="")
        wire.succeeded(await wire.call(network.programs[0], environment, network.request()))


@must
@pytest.mark.parametrize("stdin", [b"", b"no JSON", b'{"cniVersion": "1.0.0", "na', b"[]"])
async def test_e11_standard_input(network: Subject, stdin: bytes) -> None:
    """What is no JSON object: code 6. CNI 1.1.0, section 5, "Error"."""
    answer = await wire.call(network.programs[0], network.environment("ADD", network.pod()), stdin)
    wire.refused(answer, UNDECODABLE)


@must
@pytest.mark.parametrize("name", [None, "a/b"])
async def test_e12_the_networks_name(network: Subject, name: str | None) -> None:
    """Missing, or none that is allowed: code 7. CNI 1.1.0, section 1, and section 5, "Error"."""
    answer = await wire.call(network.programs[0], network.environment("ADD", network.pod()), network.request(name=name))
    wire.refused(answer, INVALID_CONFIG)


@must
async def test_e13_a_version_that_is_not_supported(network: Subject) -> None:
    """Code 1, of every plugin. CNI 1.1.0, section 5, "Error"."""
    for place, program in enumerate(network.programs):
        request = network.request(place, cniVersion="99.0.0")
        answer = await wire.call(program, network.environment("ADD", network.pod()), request)
        wire.refused(answer, INVALID_VERSION)


@should
async def test_e10_the_plugins_own_namespace(network: Subject) -> None:
    """CNI_NETNS is where the plugin runs: an error, and a DEL leaves the host as it was. CNI 1.1.0, section 2, "ADD"."""
    environment = network.environment("ADD", network.pod(), NETNS="/proc/self/ns/net", IFNAME="pod0")
    added = await wire.call(network.programs[0], environment, network.request())
    await wire.call(network.programs[0], {**environment, "CNI_COMMAND": "DEL"}, network.request())
    wire.refused(added)


@must
async def test_e14_a_version_that_is_none(network: Subject) -> None:
    """cniVersion is no version: code 1, or 6. CNI 1.1.0, section 5, "Error"."""
    answer = await wire.call(
        network.programs[0], network.environment("ADD", network.pod()), network.request(cniVersion="one")
    )
    wire.refused(answer, INVALID_VERSION, UNDECODABLE)


@must
async def test_e15_unknown_keys(network: Subject) -> None:
    """Ignored, or refused with code 2; those of the runtime itself are ignored. CNI 1.1.0, section 1."""
    program, pod = network.programs[0], network.pod()
    more: dict[str, Any] = {"cni.dev/unknown": {}, "runtimeConfig": {"example.org/unknown": 1}}
    request = network.request(**more)
    wire.succeeded(await wire.call(program, network.environment("ADD", pod), request))
    wire.succeeded(await wire.call(program, network.environment("DEL", pod), request))
    answer = await wire.call(program, network.environment("ADD", pod), network.request(unknown="value"))
    deleted = await wire.call(program, network.environment("DEL", pod), network.request(unknown="value"))
    if answer.status != 0:
        wire.refused(answer, UNSUPPORTED_FIELD)
    if answer.status == 0 or (deleted.status != 0 and deleted.document.get("code") != UNSUPPORTED_FIELD):
        wire.succeeded(deleted)


@must
async def test_a12_a_chained_plugin_passes_on(network: Subject) -> None:
    """What came before it is in its result, in the version that it was asked in. CNI 1.1.0, section 2, "ADD"."""
    chained = [place for place in range(1, len(network.programs)) if not network.request(place).get("ipam")]
    if not chained:
        pytest.skip("not claimed: nothing is chained")
    for place in chained:
        pod = network.pod()
        before = made_before(pod, network.config.cni_version)
        request = network.request(place, prevResult=before.to_wire())
        answer = wire.succeeded(await wire.call(network.programs[place], network.environment("ADD", pod), request))
        after = result.decode(answer.document, "")
        assert (after.cni_version, after.ips, after.dns) == (before.cni_version, before.ips, before.dns)
        names = [{(item.name, item.sandbox) for item in each.interfaces} for each in (before, after)]
        assert names[0] <= names[1]
        wire.succeeded(await wire.call(network.programs[place], network.environment("DEL", pod), request))


def made_before(pod: Pod, cni_version: str) -> result.Result:
    """A result as if a plugin had come before, with an interface that is there."""
    pod.run(lambda: pods.make_link(pod.attachment.ifname))
    return result.Result(
        cni_version=cni_version,
        interfaces=(
            result.Interface(name="host0"),
            result.Interface(name=pod.attachment.ifname, sandbox=pod.attachment.netns),
        ),
        ips=(
            result.IPConfig(address="192.0.2.130/24", interface=1),
            result.IPConfig(address="192.0.2.131/24", interface=1),
        ),
        dns=result.DNS(nameservers=("192.0.2.53",), search=("example.org",)),
    )


@must
async def test_a21_every_version(network: Subject) -> None:
    """ADD and DEL in each version that plugin and suite know: the result has that version's shape. CNI 1.1.0, section 5."""
    program = network.programs[0]
    listed = await supported(program)
    known = [each for each in version.KNOWN if each in listed]
    if not claims.addresses(network.config):  # without one these have no result
        known = [each for each in known if each not in ("0.1.0", "0.2.0")]
    for wire_version in known:
        pod, request = network.pod(), network.request(cniVersion=wire_version)
        answer = wire.succeeded(await wire.call(program, network.environment("ADD", pod), request))
        document = answer.document
        assert document["cniVersion"] == wire_version
        read = result.decode(document, wire_version)
        assert ("ip4" in document or "ip6" in document) == (wire_version in ("0.1.0", "0.2.0") and bool(read.ips))
        assert all(("version" in ip) == (wire_version < "1.0.0") for ip in document.get("ips", ()))
        if version.at_least(wire_version, version.DEL_PREV_RESULT):
            request["prevResult"] = document
        answer = wire.succeeded(await wire.call(program, network.environment("DEL", pod), request))
        assert answer.stdout.strip() == ""
        assert pod.attachment.ifname not in pod.links()


@should
async def test_a13_a_chained_plugin_alone(network: Subject) -> None:
    """One that needs a prevResult and gets none: an error, and no crash. CNI 1.1.0, section 2, "ADD"."""
    if len(network.programs) == 1:
        pytest.skip("not claimed: nothing is chained")
    found: list[AssertionError] = []
    for place, program in enumerate(network.programs[1:], 1):
        if network.request(place).get("ipam"):
            continue
        capabilities = {"portMappings": [{"hostPort": 30080, "containerPort": 80, "protocol": "tcp"}]}
        request = network.request(place, runtimeConfig=capabilities)
        answer = await wire.call(program, network.environment("ADD", network.pod()), request)
        try:
            wire.refused(answer)
        except AssertionError as error:
            found.append(error)
    if found:
        raise ExceptionGroup("chained plugins without a result", found)


@must
async def test_k2_check_without_a_result(network: Subject) -> None:
    """An error. CNI 1.1.0, section 2, "CHECK"."""
    network.needs_check()
    pod, _ = await network.attach()
    answer = await wire.call(network.programs[0], network.environment("CHECK", pod), network.request())
    wire.refused(answer)


@must
async def test_k3_check_in_a_version_without_it(network: Subject) -> None:
    """Code 1. CNI 1.1.0, section 5, "Error"."""
    if network.config.disable_check:
        pytest.skip("not claimed: the configuration has disableCheck")
    if "0.3.1" not in await supported(network.programs[0]):
        pytest.skip("not claimed: the plugin does not support 0.3.1")
    answer = await wire.call(
        network.programs[0], network.environment("CHECK", network.pod()), network.request(cniVersion="0.3.1")
    )
    wire.refused(answer, INVALID_VERSION)


@must
@pytest.mark.parametrize("command", ["GC", "STATUS"])
async def test_g7_commands_of_1_1_0_before(network: Subject, command: str) -> None:
    """Code 1 for a request of 1.0.0; code 4 of a plugin that knows no such command. CNI 1.1.0, section 5, "Error"."""
    if "1.0.0" not in await supported(network.programs[0]):
        pytest.skip("not claimed: the plugin does not support 1.0.0")
    answer = await wire.call(
        network.programs[0], network.environment(command, network.pod()), network.request(cniVersion="1.0.0")
    )
    wire.refused(answer, INVALID_VERSION, INVALID_ENVIRONMENT)
