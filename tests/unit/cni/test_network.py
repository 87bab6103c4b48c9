"""A chain of plugins: order, what each is told, what happens when one fails."""

import asyncio
import json
from typing import Any

import pytest

from cni.attachment import AlreadyAttached
from cni.errors import (
    CNIError,
    NotAttached,
    NotRecorded,
    NotSupported,
    PluginError,
    PluginNotFound,
    PluginTimeout,
    Unavailable,
)
from cni.network import Attachment

from .conftest import RESULT, Plugins

FAIL = 'echo \'{"code": 100, "msg": "broken"}\'; exit 1'
PORTS = [{"hostPort": 80, "containerPort": 8080, "protocol": "tcp"}]


def held(plugins: Plugins) -> str:
    """Shell that says when it runs and ends when the test lets it."""
    return f"echo down > {plugins.started.path}; read -r line < {plugins.gate.path}"


async def test_a_chain_is_added_forwards_and_deleted_backwards(plugins: Plugins, attachment: Attachment) -> None:
    """ADD goes through the plugins with the result so far, DEL goes back with the final result, and the record goes."""
    plugins.write("first")
    last = {**RESULT, "ips": [{"address": "10.1.0.9/16", "interface": 1}]}
    plugins.write("second", add=f"echo '{json.dumps(last)}'")
    network = plugins.network({"type": "first", "mtu": 9000}, "second")
    result = await network.add(attachment)
    assert result.pod_ips() == ("10.1.0.9",)
    assert plugins.records() == ["net-c1-eth0"]
    await network.check(attachment)
    await network.delete(attachment)
    assert plugins.calls() == [
        "ADD first c1",
        "ADD second c1",
        "CHECK first c1",
        "CHECK second c1",
        "DEL second c1",
        "DEL first c1",
    ]
    base = {"cniVersion": "1.0.0", "name": "net"}
    assert plugins.request("first", "ADD") == {**base, "type": "first", "mtu": 9000}
    assert plugins.request("second", "ADD") == {**base, "type": "second", "prevResult": RESULT}
    for command in ("CHECK", "DEL"):
        assert plugins.request("first", command) == {**base, "type": "first", "mtu": 9000, "prevResult": {**last}}
        assert plugins.request("second", command) == {**base, "type": "second", "prevResult": {**last}}
    assert plugins.records() == []
    assert network.cached_attachments() == []


async def test_the_environment(plugins: Plugins) -> None:
    """CNI_ARGS keep their order; CHECK and DEL get those of the ADD, whatever the caller still knows."""
    plugins.write("one")
    network = plugins.network("one")
    args = {"IgnoreUnknown": "1", "K8S_POD_NAMESPACE": "ns", "K8S_POD_NAME": "p"}
    await network.add(Attachment(container_id="c1", netns="/n", args=args))
    await network.check(Attachment(container_id="c1", netns="/n"))
    await network.delete(Attachment(container_id="c1", netns="", args={"K8S_POD_NAME": "other"}))
    common = {
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p",
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(plugins.bin_dir),
    }
    assert plugins.environment("one", "ADD") == {**common, "CNI_COMMAND": "ADD", "CNI_NETNS": "/n"}
    assert plugins.environment("one", "CHECK") == {**common, "CNI_COMMAND": "CHECK", "CNI_NETNS": "/n"}
    assert plugins.environment("one", "DEL") == {**common, "CNI_COMMAND": "DEL", "CNI_NETNS": ""}


async def test_capabilities_go_to_those_that_declare_them(plugins: Plugins) -> None:
    """Only a capability that is true and has a value arrives, as runtimeConfig; `capabilities` itself is not sent."""
    plugins.write("plain")
    plugins.write("asks")
    asks = {"type": "asks", "capabilities": {"portMappings": True, "bandwidth": False, "ips": True}}
    network = plugins.network("plain", asks)
    capabilities = {"portMappings": PORTS, "bandwidth": {"ingressRate": 1}}
    await network.add(Attachment(container_id="c1", netns="/n", capabilities=capabilities))
    await network.delete(Attachment(container_id="c1", netns="/n"))
    for command in ("ADD", "DEL"):
        assert "runtimeConfig" not in plugins.request("plain", command)
        request = plugins.request("asks", command)
        assert request["runtimeConfig"] == {"portMappings": PORTS}
        assert "capabilities" not in request


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (FAIL, 'plugin type="second" failed (add): broken'),
        ("echo rubbish", "the plugin printed something that is not JSON: 'rubbish'"),
        (":", "the plugin printed no result"),
        ('echo \'{"ips": [{"address": "x"}]}\'', "breaks the rules of version 1.0.0"),
    ],
)
async def test_a_failed_add_is_undone(plugins: Plugins, attachment: Attachment, body: str, message: str) -> None:
    """The whole chain gets its DEL, those that never ran included; nothing is recorded; the first error is raised."""
    plugins.write("first")
    plugins.write("second", add=body, delete=FAIL)
    plugins.write("third")
    network = plugins.network("first", "second", "third")
    with pytest.raises(PluginError) as caught:
        await network.add(attachment)
    assert message in str(caught.value)
    assert plugins.calls() == ["ADD first c1", "ADD second c1", "DEL third c1", "DEL second c1", "DEL first c1"]
    assert "prevResult" not in plugins.request("first", "DEL")
    assert plugins.records() == []


async def test_a_missing_plugin_fails_the_add(plugins: Plugins, attachment: Attachment) -> None:
    """It is named; the plugins before it are undone."""
    plugins.write("first")
    with pytest.raises(PluginNotFound, match='failed to find plugin "missing"'):
        await plugins.network("first", "missing").add(attachment)
    assert plugins.calls() == ["ADD first c1", "DEL first c1"]


async def test_an_add_that_cannot_be_recorded_is_undone(plugins: Plugins, attachment: Attachment) -> None:
    """Without a record nobody could detach it later."""
    plugins.write("one")
    plugins.cache_dir.write_text("a file where the folder should be")
    with pytest.raises(NotRecorded, match="cannot be recorded"):
        await plugins.network("one").add(attachment)
    assert plugins.calls() == ["ADD one c1", "DEL one c1"]


async def test_a_second_add_leaves_the_first_alone(plugins: Plugins, attachment: Attachment) -> None:
    """What is attached already is refused with its result, and not undone."""
    plugins.write("one")
    network = plugins.network("one")
    first = await network.add(attachment)
    with pytest.raises(AlreadyAttached) as caught:
        await network.add(attachment)
    assert caught.value.result == first
    assert plugins.calls() == ["ADD one c1"]


async def test_a_cancelled_add_may_finish(plugins: Plugins, attachment: Attachment) -> None:
    """A plugin at work is let come to its end, as one killed in the middle may leave what no DEL finds; then it is undone."""
    finish = f"echo ADD done one >> {plugins.folder}/calls; {plugins.answer}"
    plugins.write("one", add=f"echo up > {plugins.started.path}; read -r line < {plugins.gate.path}; {finish}")
    task = asyncio.create_task(plugins.network("one").add(attachment))
    assert await plugins.started.read() == "up\n"
    task.cancel()
    await asyncio.sleep(0)
    plugins.gate.write("go\n")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert plugins.calls() == ["ADD one c1", "ADD done one", "DEL one c1"]
    assert plugins.records() == []


@pytest.mark.parametrize("cancellations", [1, 2, 3])
async def test_a_cancelled_add_is_undone(
    plugins: Plugins, attachment: Attachment, cancellations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is cancelled, the DEL runs to its end before the cancellation is passed on; a plugin that does not end
    is killed."""
    monkeypatch.setattr("cni.network.CANCELLED_ADD_SECONDS", 0.01)
    plugins.write("first")
    plugins.write("second", add=f"echo up > {plugins.started.path}; sleep 1000", delete=held(plugins))
    network = plugins.network("first", "second")
    task = asyncio.create_task(network.add(attachment))
    assert await plugins.started.read() == "up\n"
    task.cancel()
    assert await plugins.started.read() == "down\n"
    for _ in range(cancellations - 1):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    plugins.gate.write("go\n")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert plugins.calls() == ["ADD first c1", "ADD second c1", "DEL second c1", "DEL first c1"]
    assert plugins.records() == []


async def test_a_cancellation_during_the_undo_is_not_lost(plugins: Plugins, attachment: Attachment) -> None:
    """A failed ADD that is cancelled while it is undone ends as cancelled."""
    plugins.write("one", add=FAIL, delete=held(plugins))
    task = asyncio.create_task(plugins.network("one").add(attachment))
    assert await plugins.started.read() == "down\n"
    task.cancel()
    plugins.gate.write("go\n")
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("cancellations", [1, 2])
async def test_a_cancelled_del_goes_on(plugins: Plugins, attachment: Attachment, cancellations: int) -> None:
    """A plugin that is killed in the middle of its DEL may leave what no other DEL finds: it is let finish."""
    plugins.write("first")
    plugins.write("second", delete=held(plugins))
    network = plugins.network("first", "second")
    await network.add(attachment)
    task = asyncio.create_task(network.delete(attachment))
    assert await plugins.started.read() == "down\n"
    for _ in range(cancellations):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    plugins.gate.write("go\n")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert plugins.calls()[-2:] == ["DEL second c1", "DEL first c1"]
    assert plugins.records() == []


async def test_a_plugin_that_hangs_is_killed_and_undone(plugins: Plugins, attachment: Attachment) -> None:
    """At its deadline; the error names it."""
    plugins.write("first")
    plugins.write("hangs", add="sleep 1000")
    network = plugins.network("first", "hangs", add_timeout_seconds=0.5)
    with pytest.raises(PluginTimeout, match=r'plugin type="hangs" failed \(add\): no answer within 0.5s'):
        await network.add(attachment)
    assert plugins.calls() == ["ADD first c1", "ADD hangs c1", "DEL hangs c1", "DEL first c1"]


async def test_del_uses_what_the_add_recorded(plugins: Plugins, attachment: Attachment) -> None:
    """The configuration has changed since, its file too: the plugins that made the attachment take it down."""
    plugins.write("old")
    plugins.write("new")
    await plugins.network({"type": "old", "key": 1}).add(attachment)
    await plugins.network("new").delete(attachment)
    assert plugins.calls() == ["ADD old c1", "DEL old c1"]
    request = plugins.request("old", "DEL")
    assert (request["key"], request["prevResult"]) == (1, RESULT)


async def test_a_failed_del_can_be_repeated(plugins: Plugins, attachment: Attachment) -> None:
    """Every plugin has its turn, the record stays until all have succeeded."""
    flag = plugins.folder / "works"
    plugins.write("first")
    plugins.write("second", delete=f"[ -e {flag} ] || {{ {FAIL}; }}")
    network = plugins.network("first", "second")
    await network.add(attachment)
    with pytest.raises(PluginError, match="broken"):
        await network.delete(attachment)
    assert plugins.calls()[2:] == ["DEL second c1", "DEL first c1"]
    assert plugins.records() == ["net-c1-eth0"]
    flag.touch()
    await network.delete(attachment)
    assert plugins.records() == []
    await network.delete(attachment)
    assert "prevResult" not in plugins.request("second", "DEL")


async def test_the_error_of_a_del_is_the_one_that_counts(plugins: Plugins, attachment: Attachment) -> None:
    """A plugin that failed to undo comes before one that is not installed."""
    plugins.write("first", delete=FAIL)
    with pytest.raises(PluginError, match="broken"):
        await plugins.network("first", "missing").delete(attachment)


async def test_a_del_tells_all_that_failed(plugins: Plugins, attachment: Attachment) -> None:
    """One error counts, by its class; its text, and `others`, have those of the other plugins."""
    plugins.write("first", delete='echo \'{"code": 11, "msg": "busy"}\'; exit 1')
    plugins.write("second", delete=FAIL)
    with pytest.raises(PluginError) as caught:
        await plugins.network("first", "second", "missing").delete(attachment)
    one, two, three = str(caught.value).split("; ")
    assert one == 'plugin type="second" failed (del): broken'
    assert two == 'plugin type="first" failed (del): busy'
    assert three.startswith('plugin type="missing" failed (del): failed to find plugin')
    assert [type(error) for error in caught.value.others] == [Unavailable, PluginNotFound]


async def test_a_plugin_that_does_not_know_the_container_has_nothing_to_undo(
    plugins: Plugins, attachment: Attachment
) -> None:
    """Its DEL counts as done (code 3)."""
    plugins.write("first", delete='echo \'{"code": 3, "msg": "never heard of it"}\'; exit 1')
    network = plugins.network("first")
    await network.add(attachment)
    await network.delete(attachment)
    assert plugins.records() == []


@pytest.mark.parametrize(("version", "sent"), [("0.3.1", False), ("0.4.0", True), ("1.0.0", True)])
async def test_the_result_goes_to_del_from_0_4_0_on(
    plugins: Plugins, attachment: Attachment, version: str, sent: bool
) -> None:
    """Older plugins do not know prevResult in a DEL."""
    plugins.write("one", add='echo \'{"ips": [{"version": "4", "address": "10.1.0.5/16"}]}\'')
    network = plugins.network("one", version=version)
    await network.add(attachment)
    await network.delete(attachment)
    assert ("prevResult" in plugins.request("one", "DEL")) is sent


async def test_a_result_is_converted_for_the_next_plugin(plugins: Plugins, attachment: Attachment) -> None:
    """A plugin that answers in another version does not confuse the rest of the chain."""
    plugins.write("old", add='echo \'{"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.5/16"}}\'')
    plugins.write("new")
    await plugins.network("old", "new").add(attachment)
    previous = plugins.request("new", "ADD")["prevResult"]
    assert previous == {"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/16"}], "dns": {}}


async def test_check(plugins: Plugins, attachment: Attachment) -> None:
    """Not asked where the network says so, refused before 0.4.0 and for what is not attached; an error stops it."""
    plugins.write("first", other=FAIL)
    plugins.write("second")
    await plugins.network("first", disableCheck=True).check(attachment)
    for network, kind in (
        (plugins.network("first", version="0.3.1"), NotSupported),
        (plugins.network("first"), NotAttached),
    ):
        with pytest.raises(kind):
            await network.check(attachment)
    assert plugins.calls() == []
    network = plugins.network("first", "second")
    await network.add(attachment)
    with pytest.raises(PluginError, match="broken"):
        await network.check(attachment)
    assert plugins.calls()[2:] == ["CHECK first c1"]


async def test_check_uses_what_the_add_recorded(plugins: Plugins, attachment: Attachment) -> None:
    """Another chain by now, under the same name: CHECK asks the plugins that made the attachment, as they were configured."""
    plugins.write("first")
    plugins.write("second")
    await plugins.network({"type": "first", "option": 1}).add(attachment)
    await plugins.network("second").check(attachment)
    assert plugins.calls() == ["ADD first c1", "CHECK first c1"]
    assert plugins.request("first", "CHECK")["option"] == 1


async def test_verbs_on_one_container_queue_up(plugins: Plugins, attachment: Attachment) -> None:
    """A DEL that comes during an ADD waits for it; another container does not."""
    wait = f"echo up > {plugins.started.path} && read -r line < {plugins.gate.path}"
    plugins.write("one", add=f"[ $CNI_CONTAINERID = c1 ] && {wait}; {plugins.answer}")
    network = plugins.network("one")
    adding = asyncio.create_task(network.add(attachment))
    assert await plugins.started.read() == "up\n"
    deleting = asyncio.create_task(network.delete(attachment))
    await network.add(Attachment(container_id="c2", netns="/n"))
    assert not adding.done()
    assert plugins.calls() == ["ADD one c1", "ADD one c2"]
    plugins.gate.write("go\n")
    await adding
    await deleting
    assert plugins.calls() == ["ADD one c1", "ADD one c2", "DEL one c1"]
    assert plugins.records() == ["net-c2-eth0"]


async def test_many_containers_at_once(plugins: Plugins) -> None:
    """Each has its own record, and each is taken down."""
    plugins.write("one")
    network = plugins.network("one")
    all_of_them = [Attachment(container_id=f"c{number}", netns="/n") for number in range(20)]
    await asyncio.gather(*(network.add(item) for item in all_of_them))
    assert {item.container_id for item in network.cached_attachments()} == {item.container_id for item in all_of_them}
    await asyncio.gather(*(network.delete(item) for item in all_of_them))
    assert plugins.records() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"container_id": ""},
        {"container_id": "../../etc"},
        {"container_id": "-a"},
        {"ifname": "a/b"},
        {"ifname": "."},
        {"ifname": "sixteen-letters."},
        {"netns": ""},
        {"args": {"A": "1;B=2"}},
        {"args": {"A=B": "1"}},
    ],
)
async def test_what_no_plugin_accepts_is_refused(plugins: Plugins, fields: dict[str, Any]) -> None:
    """Before anything runs."""
    plugins.write("one")
    with pytest.raises(CNIError):
        await plugins.network("one").add(Attachment(**{"container_id": "c1", "netns": "/n", **fields}))
    assert plugins.calls() == []


async def test_status(plugins: Plugins) -> None:
    """From 1.1.0 on the plugins are asked in order, and the first error counts; before it nothing runs."""
    plugins.write("good")
    plugins.write("bad", other=FAIL)
    await plugins.network("bad").status()
    await plugins.network("good", version="1.1.0").status()
    with pytest.raises(PluginError, match=r'plugin type="bad" failed \(status\): broken'):
        await plugins.network("good", "bad", "good", version="1.1.0").status()
    assert plugins.calls() == ["STATUS good ", "STATUS good ", "STATUS bad "]


async def test_garbage_collection(plugins: Plugins) -> None:
    """Recorded attachments that are not valid are deleted without a namespace; then, from 1.1.0 on, plugins get the list."""
    plugins.write("one")
    for version, collected in (("1.0.0", False), ("1.1.0", True)):
        network = plugins.network("one", version=version)
        for name in ("c1", "c2"):
            await network.add(Attachment(container_id=name, netns="/n"))
        await network.gc([("c2", "eth0")])
        assert plugins.environment("one", "DEL")["CNI_NETNS"] == ""
        assert plugins.records() == ["net-c2-eth0"]
        assert ("GC one " in plugins.calls()) is collected
        await network.delete(Attachment(container_id="c2", netns=""))
    request = plugins.request("one", "GC", "")
    assert request["cni.dev/valid-attachments"] == [{"containerID": "c2", "ifname": "eth0"}]
    assert request["cni.dev/attachments"] == request["cni.dev/valid-attachments"]


async def test_garbage_collection_of_what_is_still_there(plugins: Plugins) -> None:
    """A namespace that is mounted where the ADD found it is named to the DEL."""
    plugins.write("one")
    network = plugins.network("one")
    await network.add(Attachment(container_id="c1", netns="/proc"))
    await network.gc([])
    assert plugins.environment("one", "DEL")["CNI_NETNS"] == "/proc"


async def test_garbage_collection_goes_on_after_errors(plugins: Plugins) -> None:
    """All errors are raised together; disableGC leaves everything alone."""
    plugins.write("one", delete=FAIL, other=FAIL)
    network = plugins.network("one", version="1.1.0")
    for name in ("c1", "c2"):
        await network.add(Attachment(container_id=name, netns="/n"))
    before = plugins.calls()
    await plugins.network("one", version="1.1.0", disableGC=True).gc([])
    assert plugins.calls() == before
    with pytest.raises(ExceptionGroup) as caught:
        await network.gc([])
    assert len(caught.value.exceptions) == 3
    assert plugins.records() == ["net-c1-eth0", "net-c2-eth0"]
