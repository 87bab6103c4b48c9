"""Chains of real plugins in real network namespaces: what they make works, and nothing of it stays."""

import asyncio
import http.client
import ipaddress
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from components import cannot_be_tested
from pyroute2 import IPRoute

from cni import netns
from cni.config import load
from cni.default import DefaultNetwork, write_default
from cni.errors import PluginError, PluginNotFound, PluginTimeout
from cni.network import Attachment, Network
from runtimes.linux import syscalls

from .conftest import PLUGINS, Pipe, Site

pytestmark = pytest.mark.node

PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


async def inside(attachment: Attachment, function: Callable[[], str]) -> str:
    return await asyncio.to_thread(syscalls.in_namespace, Path(attachment.netns), function)


async def test_add_check_delete(site: Site) -> None:
    """The pod gets an address of the subnet, a default route and a loopback that is up; CHECK agrees; DEL takes it all."""
    network = site.network()
    attachment = await site.attachment()
    result = await network.add(attachment)
    (ip,) = result.pod_ips()
    assert ipaddress.ip_address(ip) in ipaddress.ip_network(site.subnet)
    assert netns.default_interface_addresses(Path(attachment.netns)) == (ip,)

    def look() -> str:
        with IPRoute() as route:
            lo = route.link("get", index=1)[0]["state"]
            gateways = [item.get_attr("RTA_GATEWAY") for item in route.get_default_routes()]
        return f"{lo} {gateways}"

    gateway = str(ipaddress.ip_network(site.subnet)[1])
    assert await inside(attachment, look) == f"up ['{gateway}']"
    assert [item.partition(" ")[0] for item in site.leftovers()[:3]] == ["interface", "address", "record"]
    await network.check(attachment)
    await network.delete(attachment)
    assert site.leftovers() == []
    await network.delete(attachment)


async def test_check_notices_damage(site: Site) -> None:
    """An address that somebody took away is an error of the bridge plugin."""
    network = site.network()
    attachment = await site.attachment()
    await network.add(attachment)

    def damage() -> str:
        with IPRoute() as route:
            route.flush_addr(index=route.link_lookup(ifname="eth0")[0])
        return ""

    await inside(attachment, damage)
    with pytest.raises(PluginError, match=r'plugin type="bridge" failed \(check\)'):
        await network.check(attachment)
    await network.delete(attachment)
    site.forget_masquerade()


async def test_the_namespace_is_gone_before_the_delete(site: Site) -> None:
    """After a reboot, or when somebody removed it: address, host ports and the record go all the same."""
    network = site.network(PORTMAP)
    ports = [{"hostPort": 0x7000 + len(site.name), "containerPort": 80, "protocol": "tcp"}]
    for netns_known in (True, False):
        attachment = await site.attachment(capabilities={"portMappings": ports})
        await network.add(attachment)
        site.remove_namespace(attachment)
        known = attachment.netns if netns_known else ""
        await network.delete(Attachment(container_id=attachment.container_id, netns=known))
        site.forget_masquerade()
        assert site.leftovers() == []


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
async def test_a_second_plugin_that_fails(site: Site, body: str, message: str) -> None:
    """What the bridge had made is taken down again, and the error names the plugin."""
    network = site.network(site.plugin("bad", body))
    attachment = await site.attachment()
    with pytest.raises(PluginError) as caught:
        await network.add(attachment)
    assert 'plugin type="bad"' in str(caught.value)
    assert message in str(caught.value)
    assert site.leftovers() == []
    assert netns.default_interface_addresses(Path(attachment.netns)) == ()


async def test_a_plugin_that_hangs(site: Site) -> None:
    """It is killed with what it started, and the bridge's work is undone."""
    held = site.folder / "held"
    held.touch()
    body = f"[ $CNI_COMMAND = DEL ] && exit 0; exec 9<{held}; sleep 1000 & sleep 1000"
    network = site.network(site.plugin("hangs", body), add_timeout_seconds=3.0)
    with pytest.raises(PluginTimeout, match='plugin type="hangs"'):
        await network.add(await site.attachment())
    assert site.leftovers() == []
    assert holders(held) == []


async def test_a_cancelled_add(site: Site) -> None:
    """Cancelled in the middle of the chain, and once more during the undo: nothing is left when it returns."""
    started, going = Pipe(site.folder / "started"), Pipe(site.folder / "going")
    body = f"[ $CNI_COMMAND = ADD ] && echo > {started.path} && sleep 1000; echo > {going.path}"
    network = site.network(site.plugin("slow", body))
    task = asyncio.create_task(network.add(await site.attachment()))
    await started.read()
    task.cancel()
    await going.read()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    started.close()
    going.close()
    assert site.leftovers() == []


async def test_a_missing_plugin(site: Site) -> None:
    """It is named with the folders that were looked in."""
    with pytest.raises(PluginNotFound, match=f'failed to find plugin "not-there" in path .*{PLUGINS}'):
        await site.network({"type": "not-there"}).add(await site.attachment())


async def test_twenty_at_once(site: Site) -> None:
    """Containers do not wait for each other and all get addresses of their own."""
    network = site.network()
    attachments = [await site.attachment() for _ in range(20)]
    results = await asyncio.gather(*(network.add(item) for item in attachments))
    addresses = [ip for result in results for ip in result.pod_ips()]
    assert len(set(addresses)) == 20
    assert sum(item.startswith("interface ") for item in site.leftovers()) == 20
    await asyncio.gather(*(network.delete(item) for item in attachments))


async def test_no_address_left(site: Site) -> None:
    """An exhausted range fails the ADD in the plugin's words and leaves nothing of that pod."""
    site.subnet = site.subnet.replace(".0/24", ".0/30")
    network = site.network()
    first = await site.attachment()
    await network.add(first)
    before = site.leftovers()
    with pytest.raises(PluginError, match="no IP addresses available in range set"):
        await network.add(await site.attachment())
    assert site.leftovers() == before
    await network.delete(first)


async def test_host_ports(site: Site) -> None:
    """The pod answers at its own address and at the node's port, by 127.0.0.1 and by the node's address alike.

    CHECK is not asked here: portmap 1.1.1 fails it for IPv4-only pods, since it looks for its ip6tables chain (its bug).
    """
    network = site.network(PORTMAP)
    host_port = 20000 + int(site.name[-4:], 16) % 10000
    ports = [{"hostPort": host_port, "containerPort": 8080, "protocol": "tcp"}]
    attachment = await site.attachment(capabilities={"portMappings": ports})
    (ip,) = (await network.add(attachment)).pod_ips()
    async with web_server(attachment):
        gateway = str(ipaddress.ip_network(site.subnet)[1])
        for address, port in ((ip, 8080), ("127.0.0.1", host_port), (gateway, host_port), (node_address(), host_port)):
            assert await asyncio.to_thread(fetch, address, port) == 200, f"{address}:{port}"
    await network.delete(attachment)


async def test_two_pods_reach_each_other(site: Site) -> None:
    """By IP, over the bridge."""
    network = site.network()
    server, client = await site.attachment(), await site.attachment()
    (ip,) = (await network.add(server)).pod_ips()
    await network.add(client)
    async with web_server(server):
        assert await inside(client, lambda: str(fetch(ip, 8080))) == "200"
    for attachment in (server, client):
        await network.delete(attachment)


async def test_garbage_after_a_power_cut(site: Site) -> None:
    """Namespaces are gone, records and reservations are not: gc takes down what is not valid, and only that."""
    network = site.network()
    lost, alive = await site.attachment(), await site.attachment()
    for attachment in (lost, alive):
        await network.add(attachment)
    site.remove_namespace(lost)
    await network.gc([(alive.container_id, "eth0")])
    assert [item.container_id for item in network.cached_attachments()] == [alive.container_id]
    await network.check(alive)
    await network.delete(alive)
    site.forget_masquerade()


async def test_the_default_network_works(site: Site) -> None:
    """What write_default writes is a network that these plugins accept; a folder that has one is left alone."""
    default = DefaultNetwork(name=site.name, bridge=site.bridge, subnet=site.subnet, ipam_dir=site.folder / "ipam")
    path = write_default(site.folder / "net.d", default)
    assert path is not None
    assert write_default(site.folder / "net.d", default) is None
    network = Network(load(path), bin_dirs=[PLUGINS], cache_dir=site.folder / "cache")
    attachment = await site.attachment()
    assert len((await network.add(attachment)).pod_ips()) == 1
    await network.check(attachment)
    await network.delete(attachment)


def test_namespaces(tmp_path: Path) -> None:
    """A path that is taken is refused and what is there lives on; deleting twice is fine."""
    path = tmp_path / "ns"
    assert not netns.exists(path)
    netns.create(path, {"net.ipv4.ip_unprivileged_port_start": "80"})
    assert netns.exists(path)
    with pytest.raises(FileExistsError):
        netns.create(path)
    assert netns.exists(path)
    value = syscalls.in_namespace(path, lambda: Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    assert value == "80\n"
    netns.delete(path)
    netns.delete(path)
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        netns.create(path, {"net.no.such": "1"})
    assert not path.exists()


@asynccontextmanager
async def web_server(attachment: Attachment) -> AsyncIterator[None]:
    """A web server on port 8080 in the attachment's namespace, accepting when this enters."""
    script = (
        "import http.server as h; s = h.HTTPServer(('', 8080), h.SimpleHTTPRequestHandler); "
        "print('up', flush=True); s.serve_forever()"
    )

    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd="/",
        )

    server = await asyncio.to_thread(syscalls.in_namespace, Path(attachment.netns), start)
    try:
        assert server.stdout is not None
        assert await asyncio.to_thread(server.stdout.readline) == "up\n"
        yield
    finally:
        server.kill()
        server.communicate()


def fetch(address: str, port: int) -> int:
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        connection.request("HEAD", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def node_address() -> str:
    """An address of this machine that is neither loopback nor of a bridge of the tests."""
    links = json.loads(subprocess.run(["ip", "-json", "-4", "addr"], check=True, capture_output=True).stdout)
    for link in links:
        if "LOOPBACK" not in link["flags"] and link.get("linkinfo", {}).get("info_kind") != "bridge":
            for info in link["addr_info"]:
                if not link["ifname"].startswith("na"):
                    return str(info["local"])
    return cannot_be_tested("the host's own address as seen by a pod (this machine has none but loopback)")


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
