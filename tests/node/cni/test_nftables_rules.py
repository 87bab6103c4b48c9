"""Rules of pods in the real kernel: packets go where they should, `nft` sees what we wrote, others' rules stay as they are."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path

import pytest
from components import require

from cni.native.nftables.errors import NftablesError, NftablesForeign
from cni.native.nftables.kernel import Netfilter
from cni.native.nftables.messages import delete_elements, new_elements
from cni.native.nftables.sets import Element
from cni.native.nftables.tables import dump_elements, ensure
from cni.native.nftables_rules import NftablesRules
from cni.native.packet_filter import choose_rules
from cni.native.pod_table import pod_table
from cni.native.rules import HostPort, HostPortTaken, Owner, PodRules

from . import packets
from .churning import rules_of
from .packets import BRIDGE, GATEWAY, HOST, NETWORK, OUTSIDE, World

pytestmark = pytest.mark.node

FOREIGN = "table ip others { chain c { type filter hook forward priority 0; policy accept; accept; }; }"


def port(protocol: str, host: int, container: int, host_ip: str = "") -> HostPort:
    return HostPort(protocol=protocol, host_port=host, container_port=container, host_ip=host_ip)  # type: ignore[arg-type]


class InHost:
    """Rules that work in the host's namespace, whichever thread asks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rules = NftablesRules()
        world.host.run(self.rules.prepare)

    def apply(self, pod: PodRules) -> None:
        self._world.host.run(lambda: self.rules.apply(pod))

    def remove(self, pod: PodRules) -> None:
        self.rules.remove(*pod.owner)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    require("nft", "ip", "nsenter")
    with packets.world(tmp_path) as made:
        made.host.command("nft", FOREIGN)
        before = made.host.command("nft", "list", "table", "ip", "others")
        yield made
        assert made.host.command("nft", "list", "table", "ip", "others") == before


def test_what_nft_sees(world: World) -> None:
    """Each element is in its set with its owner as the comment; when the pod is gone the sets are empty, then the table."""
    host, pod = InHost(world), world.pod()
    rules = pod.rules(port("tcp", 8000, 80), port("udp", 53, 5353, HOST[0]), port("sctp", 36412, 36412, "::"))
    host.apply(rules)
    mine = f"{NETWORK} pod5 eth0"
    found = world.ruleset()
    assert {item.name: sorted(found[item.name], key=str) for item in pod_table().sets} == {
        "pods4": [[[pod.ip4, BRIDGE], mine]],
        "pods6": [[[pod.ip6, BRIDGE], mine]],
        "masquerade4": [[pod.ip4, mine]],
        "masquerade6": [[pod.ip6, mine]],
        "host_ports4": [[["tcp", 8000], mine, [pod.ip4, 80]]],
        "host_ports_at4": [[[HOST[0], "udp", 53], mine, [pod.ip4, 5353]]],
        "host_ports6": [[["sctp", 36412], mine, [pod.ip6, 36412]], [["tcp", 8000], mine, [pod.ip6, 80]]],
        "host_ports_at6": [],
        "bridges": [[BRIDGE, NETWORK]],
    }
    assert host.rules.owned() == (Owner(NETWORK, "pod5", "eth0"),)
    assert not host.rules.withdraw()
    host.remove(rules)
    host.remove(rules)
    assert host.rules.owned() == ()
    assert host.rules.withdraw()
    assert "nodeagent" not in world.host.command("nft", "list", "tables")
    assert host.rules.withdraw()
    assert host.rules.owned() == ()


def test_masquerade(world: World) -> None:
    """Outside sees the host; another pod of the bridge sees the pod itself; a pod that is not to be masqueraded is seen."""
    host, one, other = InHost(world), world.pod(), world.pod()
    host.apply(one.rules())
    host.apply(other.rules(masquerade=False))
    world.outside.ip(f"route add 10.90.0.0/24 via {HOST[0]}", f"route add fd90::/64 via {HOST[1]}")
    with packets.listening(world.outside, "tcp", 80, "outside"), packets.listening(other, "tcp", 80, "other"):
        for version in (0, 1):
            assert packets.ask(one, "tcp", OUTSIDE[version], 80) == ("outside", HOST[version])
            assert packets.ask(one, "tcp", (other.ip4, other.ip6)[version], 80) == (
                "other",
                (one.ip4, one.ip6)[version],
            )
            assert packets.ask(other, "tcp", OUTSIDE[version], 80) == ("outside", (other.ip4, other.ip6)[version])


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_host_ports(world: World, protocol: str) -> None:
    """From outside, from the host itself by each of its addresses, from another pod and from the pod itself (hairpin)."""
    host, pod, other = InHost(world), world.pod(), world.pod()
    host.apply(pod.rules(port(protocol, 8000, 80)))
    host.apply(other.rules())
    with packets.listening(pod, protocol, 80, "pod"):
        for version, own in enumerate((pod.ip4, pod.ip6)):
            assert packets.ask(world.outside, protocol, HOST[version], 8000) == ("pod", OUTSIDE[version])
            for address in (HOST[version], GATEWAY[version], *(("127.0.0.1",) if version == 0 else ())):
                assert packets.ask(world.host, protocol, address, 8000)[0] == "pod", address
            for place in (other, pod):
                assert packets.ask(place, protocol, HOST[version], 8000) == ("pod", GATEWAY[version])
            assert packets.ask(other, protocol, own, 80)[0] == "pod"
            assert packets.is_silent(world.outside, protocol, HOST[version], 80)
        host.remove(pod.rules())
        assert packets.is_silent(world.outside, protocol, HOST[0], 8000)


def test_sctp(world: World) -> None:
    """The first packet of an association comes to the pod's port."""
    host, pod = InHost(world), world.pod()
    host.apply(pod.rules(port("sctp", 8000, 80)))
    for version, family in enumerate((socket.AF_INET, socket.AF_INET6)):
        with packets.sctp_arrivals(pod, family) as wait:
            packets.send_sctp_init(world.outside, HOST[version], 8000)
            assert wait() == 80


def test_one_address_of_the_host(world: World) -> None:
    """A host port with hostIP leads to its pod at that address, and to the pod that has it everywhere at the others."""
    host, here, everywhere = InHost(world), world.pod(), world.pod()
    host.apply(
        here.rules(port("tcp", 8000, 80, HOST[0]), port("tcp", 8001, 80, "127.0.0.1"), port("tcp", 8002, 80, HOST[1]))
    )
    host.apply(everywhere.rules(port("tcp", 8000, 80)))
    with packets.listening(here, "tcp", 80, "here"), packets.listening(everywhere, "tcp", 80, "everywhere"):
        assert packets.ask(world.outside, "tcp", HOST[0], 8000)[0] == "here"
        assert packets.ask(world.outside, "tcp", HOST[1], 8000)[0] == "everywhere"
        assert packets.ask(world.host, "tcp", GATEWAY[0], 8000)[0] == "everywhere"
        assert packets.ask(world.host, "tcp", "127.0.0.1", 8001)[0] == "here"
        assert packets.is_silent(world.outside, "tcp", HOST[0], 8001)
        assert packets.ask(world.outside, "tcp", HOST[1], 8002)[0] == "here"
        assert packets.is_silent(world.outside, "tcp", HOST[0], 8002)


def test_a_service_comes_first(world: World) -> None:
    """A redirection of the usual priority, as a cluster's proxy makes them, is asked before a pod's host port."""
    host, pod, behind = InHost(world), world.pod(), world.pod()
    host.apply(pod.rules(port("tcp", 8000, 80)))
    chain = "add chain ip proxy services { type nat hook prerouting priority dstnat; }"
    rule = f"add rule ip proxy services ip daddr {HOST[0]} tcp dport 8000 dnat to {behind.ip4}:80"
    world.host.command("nft", f"add table ip proxy; {chain}; {rule}")
    with packets.listening(pod, "tcp", 80, "host port"), packets.listening(behind, "tcp", 80, "service"):
        assert packets.ask(world.outside, "tcp", HOST[0], 8000)[0] == "service"


def test_pods_do_not_reach_the_hosts_loopback(world: World) -> None:
    """The bridge routes 127.0.0.0/8 for host ports; what a pod sends there is dropped all the same."""
    host, pod = InHost(world), world.pod()
    host.apply(pod.rules(port("tcp", 8000, 80)))
    pod.ip(
        *(f"route del local 127.0.0.{end} dev lo table local" for end in ("0/8", "1")),
        f"route add 127.0.0.0/8 via {GATEWAY[0]}",
    )
    pod.run(lambda: Path("/proc/sys/net/ipv4/conf/eth0/route_localnet").write_text("1"))
    with packets.listening(world.host, "udp", 9000, "host"):
        assert packets.ask(world.host, "udp", "127.0.0.1", 9000)[0] == "host"
        assert packets.is_silent(pod, "udp", "127.0.0.1", 9000)
        world.host.command("nft", "flush", "chain", "inet", "nodeagent", "loopback_guard")
        assert packets.ask(pod, "udp", "127.0.0.1", 9000)[0] == "host"  # so it was the guard


def test_udp_follows_a_port_that_moves(world: World) -> None:
    """A client that keeps its socket open is answered by the next pod, also if it had sent while there was none."""
    host, first, second = InHost(world), world.pod(), world.pod()
    with (
        packets.listening(first, "udp", 53, "first"),
        packets.listening(second, "udp", 53, "second"),
        packets.client(world.outside, "udp", HOST[0]) as client,
        packets.client(world.outside, "udp", HOST[1]) as client6,
    ):
        for made in (client, client6):
            made.settimeout(packets.ANSWER_SECONDS)
        host.apply(first.rules(port("udp", 53, 53)))
        assert packets.exchange(client, HOST[0], 53)[0] == packets.exchange(client6, HOST[1], 53)[0] == "first"
        host.remove(first.rules())
        client.settimeout(packets.SILENCE_SECONDS)
        with pytest.raises(OSError):
            packets.exchange(client, HOST[0], 53)
        client.settimeout(packets.ANSWER_SECONDS)
        host.apply(second.rules(port("udp", 53, 53)))
        assert packets.exchange(client, HOST[0], 53)[0] == packets.exchange(client6, HOST[1], 53)[0] == "second"


def test_a_host_port_has_one_owner(world: World) -> None:
    """The second pod is refused whole and told who has it; with the first gone it may have it."""
    host, first, second = InHost(world), world.pod(), world.pod()
    host.apply(first.rules(port("tcp", 8000, 80)))
    with pytest.raises(
        HostPortTaken, match=r"host port tcp 8000 is taken by container pod5 \(eth0, network packets\)"
    ) as caught:
        host.apply(second.rules(port("tcp", 8001, 80), port("tcp", 8000, 80)))
    assert caught.value.owner == Owner(NETWORK, "pod5", "eth0")
    assert host.rules.owned() == (Owner(NETWORK, "pod5", "eth0"),)
    host.apply(second.rules(port("udp", 8000, 80)))
    host.remove(first.rules())
    host.apply(second.rules(port("tcp", 8000, 80)))
    assert host.rules.check(second.rules(port("tcp", 8000, 80))) == []


def test_again_is_the_same_and_other_is_instead(world: World) -> None:
    """Applied twice nothing changes; with other ports those before are gone; an address goes over to its new pod."""
    host, pod = InHost(world), world.pod()
    rules = pod.rules(port("tcp", 8000, 80))
    host.apply(rules)
    before = world.ruleset()
    host.apply(rules)
    assert world.ruleset() == before
    other = pod.rules(port("tcp", 8001, 80))
    host.apply(other)
    assert host.rules.check(other) == []
    assert host.rules.check(rules) == [
        "host_ports4: tcp . 8000 : 10.90.0.5 . 80 is missing",
        "host_ports4: tcp . 8001 : 10.90.0.5 . 80 is not the pod's",
        "host_ports6: tcp . 8000 : fd90::5 . 80 is missing",
        "host_ports6: tcp . 8001 : fd90::5 . 80 is not the pod's",
    ]
    heir = pod.rules(container_id="heir")
    host.apply(heir)
    assert host.rules.check(heir) == []
    host.remove(other)
    assert host.rules.owned() == (heir.owner,)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("delete element inet nodeagent masquerade4 { 10.90.0.5 }", "masquerade4: 10.90.0.5 is missing"),
        ("flush chain inet nodeagent host_ports", "rule “IPv4 host ports” of chain host_ports is missing"),
        ("add rule inet nodeagent output drop", "rule “” of chain output is not ours"),
        ("delete table inet nodeagent", "set pods4 of table nodeagent is missing"),
    ],
)
def test_damage_is_told_and_mended(world: World, damage: str, told: str) -> None:
    """CHECK names what somebody has taken away or added; a table that is gone is made again by the next pod."""
    host, pod = InHost(world), world.pod()
    rules = pod.rules(port("tcp", 8000, 80))
    host.apply(rules)
    assert host.rules.check(rules) == []
    world.host.command("nft", *damage.split())
    assert told in host.rules.check(rules)
    if "table" in damage.split()[:2]:
        host.apply(rules)
        assert host.rules.check(rules) == []


def test_garbage(world: World) -> None:
    """Of one network what is not valid goes; other networks are left alone."""
    host, pods = InHost(world), [world.pod() for _ in range(3)]
    for pod in pods:
        host.apply(pod.rules(port("tcp", 8000 + pod.number, 80)))
    addresses = (ip_interface("10.91.0.5/24"),)
    stranger = PodRules(network=f"{NETWORK}2", container_id="pod5", ifname="eth0", bridge="br1", addresses=addresses)
    host.apply(stranger)
    host.rules.keep_only(NETWORK, {("pod6", "eth0")})
    assert host.rules.owned() == (pods[1].rules().owner, stranger.owner)


def test_a_table_of_an_older_agent(world: World) -> None:
    """It is made anew with the elements that it has; one of a newer agent and one that is not ours are left alone."""
    host, pod = InHost(world), world.pod()
    rules = pod.rules(port("tcp", 8000, 80))
    host.apply(rules)
    listed = world.host.command("nft", "list", "table", "inet", "nodeagent")

    def replace(old: str, new: str) -> None:
        text = "delete table inet nodeagent\n" + listed.replace(old, new)
        world.host.command("nft", "-f", "-", text=text)

    mark = f"version {pod_table().version}"
    replace(f'{mark}"', 'version 0"\n chain of_old { }')
    InHost(world).apply(world.pod().rules())
    assert host.rules.check(rules) == []
    assert "of_old" not in world.ruleset()
    replace(f'{mark}"', f'version {pod_table().version + 1}"\n chain to_come {{ }}')
    InHost(world)
    assert "to_come" in world.ruleset()
    replace(mark, "by somebody")
    with pytest.raises(NftablesForeign, match="somebody else has made it"):
        InHost(world)
    assert host.rules.check(rules) == []


def test_many_at_once_and_killed_in_between(world: World) -> None:
    """Agents that are killed at any moment leave each pod's rules whole or not there at all."""
    host = InHost(world)
    program = Path(__file__).with_name("churning.py")
    children = [
        subprocess.Popen(
            ["nsenter", f"--net={world.host.path}", sys.executable, str(program), str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            for _ in range(20):
                assert child.stdout.readline()
            child.send_signal(signal.SIGKILL)
            child.wait()
    finally:
        for child in children:
            child.kill()
            child.communicate()
    for owner in host.rules.owned():
        assert host.rules.check(rules_of(int(owner.container_id))) == []


def test_threads_share_one_object(world: World) -> None:
    """Forty pods from eight threads, and away again: all there, then none."""
    host = InHost(world)
    pods = [rules_of(number) for number in range(40)]

    def each(number: int, verb: str) -> None:
        for pod in pods[number::8]:
            host.rules.apply(pod) if verb == "apply" else host.remove(pod)

    for verb, left in (("apply", 40), ("remove", 0)):
        threads = [threading.Thread(target=each, args=(number, verb)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(host.rules.owned()) == left


def test_a_process_that_may_not(world: World) -> None:
    """Without CAP_NET_ADMIN the error says so, and what to do."""
    script = "from cni.native.packet_filter import choose_rules; choose_rules()"
    argv = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert "NftablesUnavailable" in done.stderr
    assert "give the agent CAP_NET_ADMIN" in done.stderr


def test_a_policy_that_drops_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Ours cannot overrule it, so the operator is told which chain it is."""
    base = "add chain ip firewall guard { type filter hook forward priority 0; policy drop; }"
    world.host.command("nft", f"add table ip firewall; {base}")
    world.host.run(choose_rules)
    assert "chain guard of table firewall drops what it does not accept" in caplog.text


def test_the_kernels_refusal_names_the_element(world: World) -> None:
    """With set, table and errno; the rest of the batch has not happened."""
    kernel, table = Netfilter(), pod_table()
    world.host.run(lambda: ensure(kernel, table))
    item, there, missing = table.sets[0], Element(key=("10.0.0.1", BRIDGE)), Element(key=("10.0.0.2", BRIDGE))
    batch = [*new_elements(table.name, item, [there]), *delete_elements(table.name, item, [missing])]
    with pytest.raises(NftablesError) as caught:
        kernel.commit(batch)
    assert str(caught.value) == (
        "netfilter: element 10.0.0.2 . br0 of set pods4 of table nodeagent: No such file or directory (ENOENT)"
    )
    assert (caught.value.errno, dump_elements(kernel, table, item)) == (errno.ENOENT, [])
