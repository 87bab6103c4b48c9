"""What this library makes of chains of real plugins and of plugins that misbehave; nothing of it stays."""

import asyncio
import ipaddress
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from cni.config import load
from cni.default import DefaultNetwork, write_default
from cni.errors import PluginError, PluginNotFound, PluginTimeout
from cni.network import Network
from cni.testing import namespaces
from cni.testing.host import fresh_host, look
from cni.testing.implementation import Implementation
from cni.testing.subject import Subject
from runtimes.linux import syscalls

from .conftest import PLUGINS, Pipe, bridge

pytestmark = pytest.mark.node

SUBNET = ipaddress.ip_network("10.88.0.0/24")


@pytest.fixture
def network_implementation() -> Implementation:
    return bridge()


def chain(network: Subject, name: str, body: str) -> Subject:
    """The bridge, and after it a plugin of shell."""
    folder = network.folder / "bin"
    folder.mkdir()
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)
    return network.with_chain({"type": name}).with_bin_dir(folder)


async def test_what_a_pod_gets(network: Subject) -> None:
    """An address of the subnet, a default route by the bridge's address, and a loopback that is up."""
    pod, result = await network.attach()
    (ip,) = result.pod_ips()
    assert ipaddress.ip_address(ip) in SUBNET
    assert ("0.0.0.0/0", str(SUBNET[1])) in pod.routes()

    def loopback() -> str:
        with IPRoute() as route:
            state: str = route.link("get", index=1)[0]["state"]
        return state

    assert pod.run(loopback) == "up"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('[ $CNI_COMMAND = DEL ] || { echo \'{"code": 7, "msg": "no"}\'; exit 1; }', "failed (add): no"),
        ("[ $CNI_COMMAND = DEL ] || echo rubbish", "the plugin printed something that is not JSON: 'rubbish'"),
        ("echo rubbish; exit 1", "error parsing its diagnostic message 'rubbish'"),
        ("cat > /dev/null", "the plugin printed no result"),
        ("kill -9 $$", "killed by signal SIGKILL"),
    ],
)
async def test_a_second_plugin_that_fails(network: Subject, body: str, message: str) -> None:
    """What the bridge had made is taken down again, and the error names the plugin."""
    failing = chain(network, "bad", body)
    pod = failing.pod()
    with pytest.raises(PluginError) as caught:
        await failing.verbs.add(pod.attachment)
    assert 'plugin type="bad"' in str(caught.value)
    assert message in str(caught.value)
    await network.left_behind()
    assert pod.links() == {}


async def test_a_plugin_that_hangs(network: Subject) -> None:
    """It is killed with what it started, and the bridge's work is undone."""
    held = network.folder / "held"
    held.touch()
    body = f"[ $CNI_COMMAND = DEL ] && exit 0; exec 9<{held}; sleep 1000 & sleep 1000"
    subject = chain(network, "hangs", body)
    bin_dirs, memory = subject.implementation.bin_dirs, subject.memory
    hanging = Network(subject.config, bin_dirs=bin_dirs, cache_dir=memory, add_timeout_seconds=3.0)
    with pytest.raises(PluginTimeout, match='plugin type="hangs"'):
        await hanging.add(network.pod().attachment)
    await network.left_behind()
    assert holders(held) == []


async def test_a_cancelled_add(network: Subject) -> None:
    """Cancelled in the middle of the chain, and once more during the undo: nothing is left when it returns."""
    started, going = Pipe(network.folder / "started"), Pipe(network.folder / "going")
    body = f"[ $CNI_COMMAND = ADD ] && echo > {started.path} && sleep 1000; echo > {going.path}"
    slow = chain(network, "slow", body)
    task = asyncio.create_task(slow.verbs.add(slow.pod().attachment))
    await started.read()
    task.cancel()
    await going.read()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    started.close()
    going.close()
    await network.left_behind()


async def test_a_missing_plugin(network: Subject) -> None:
    """It is named with the folders that were looked in."""
    missing = network.with_chain({"type": "not-there"})
    with pytest.raises(PluginNotFound, match=f'failed to find plugin "not-there" in path .*{PLUGINS}'):
        await missing.verbs.add(missing.pod().attachment)


async def test_no_address_left(network: Subject) -> None:
    """An exhausted range fails the ADD in the plugin's words."""
    small = network.with_pool_of(1)
    await small.attach()
    with pytest.raises(PluginError, match="no IP addresses available in range set"):
        await small.verbs.add(small.pod().attachment)


async def test_garbage_after_a_power_cut(network: Subject) -> None:
    """A namespace is gone, record and reservation are not: gc takes down what is not valid, and only that."""
    (lost, _), (alive, _) = await network.attach(), await network.attach()
    lost.lose_namespace()
    await network.verbs.gc([(alive.attachment.container_id, "eth0")])
    assert isinstance(network.verbs, Network)
    assert [item.container_id for item in network.verbs.cached_attachments()] == [alive.attachment.container_id]
    await network.check(alive)
    network.forget(lost)


async def test_the_default_network_works(network: Subject) -> None:
    """What write_default writes for programs is a network that these accept; a folder that has one is left alone."""
    default = DefaultNetwork(ipam_dir=network.folder / "ipam", native=False)
    path = write_default(network.folder / "net.d", default)
    assert path is not None
    assert write_default(network.folder / "net.d", default) is None
    made = Network(load(path), bin_dirs=[PLUGINS], cache_dir=network.memory)
    attachment = network.pod().attachment
    assert len((await made.add(attachment)).pod_ips()) == 1
    await made.check(attachment)
    await made.delete(attachment)
    path.unlink()
    kept = (f"on {default.bridge}", f"link {default.bridge} ", "CNI-HOSTPORT-")
    assert [line for line in network.leftovers() if not any(part in line for part in kept)] == []
    network.kept |= network.host.run(look)


def test_namespaces(tmp_path: Path) -> None:
    """A path that is taken is refused and what is there lives on; deleting twice is fine; on an error nothing stays."""
    path = tmp_path / "ns"
    namespaces.create(path)
    try:
        with pytest.raises(FileExistsError):
            namespaces.create(path)
        listed = syscalls.in_namespace(path, lambda: Path("/proc/thread-self/net/dev").read_text())
        assert [line.partition(":")[0].strip() for line in listed.splitlines() if ":" in line] == ["lo"]
    finally:
        namespaces.delete(path)
    namespaces.delete(path)
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        syscalls.pin_namespaces({syscalls.CLONE_NEWNET: path}, lambda: Path("/proc/sys/net/no/such").write_text("1"))
    assert not path.exists()


def test_a_host_is_left_as_it_was_come_to(tmp_path: Path) -> None:
    """Whatever happens on it: the thread is where it was, and nothing is pinned any more."""

    def place() -> str:
        return str(Path("/proc/thread-self/ns/net").readlink())

    before = place()
    with pytest.raises(ZeroDivisionError), fresh_host(tmp_path) as host:
        assert place() != before
        assert host.run(place) == place()
        assert {line for line in host.run(look) if line.startswith("link")} == {"link lo physical", "link eth0 veth"}
        raise ZeroDivisionError
    assert place() == before
    assert list(tmp_path.iterdir()) == []


def holders(path: Path) -> list[str]:
    """Processes that have the file open."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() == path:
                found.append(str(link))
        except OSError:
            continue
    return found
