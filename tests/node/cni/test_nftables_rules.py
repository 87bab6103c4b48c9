"""Rules of pods in the real kernel: packets go where they should, `nft` sees what we wrote, others' rules stay as they are."""

import errno
import signal
import subprocess
import sys
import threading
from pathlib import Path

import packets
import pytest
from packets import BRIDGE, HOST, NETWORK, World

from cni.native.nftables.errors import NftablesError, NftablesForeign
from cni.native.nftables.kernel import Netfilter
from cni.native.nftables.messages import delete_elements, new_elements
from cni.native.nftables.sets import Element
from cni.native.nftables.tables import dump_elements, ensure
from cni.native.packet_filter import choose_rules
from cni.native.pod_table import pod_table
from cni.native.rules import Owner

from .churning import rules_of
from .pod_rules import InHost, port

pytestmark = pytest.mark.node


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
        "itself4": [[[pod.ip4, pod.ip4], mine]],
        "itself6": [[[pod.ip6, pod.ip6], mine]],
        "unseen4": [],
        "unseen6": [],
        "masquerade4": [[pod.ip4, mine]],
        "masquerade6": [[pod.ip6, mine]],
        "host_ports4": [[["tcp", 8000], mine, [pod.ip4, 80]]],
        "host_ports_at4": [[[HOST[0], "udp", 53], mine, [pod.ip4, 5353]]],
        "host_ports6": [[["sctp", 36412], mine, [pod.ip6, 36412]], [["tcp", 8000], mine, [pod.ip6, 80]]],
        "host_ports_at6": [],
        "bridges": [[BRIDGE, NETWORK]],
    }
    assert host.owned() == (Owner(NETWORK, "pod5", "eth0"),)
    assert not host.withdraw()
    host.remove(rules)
    host.remove(rules)
    assert host.owned() == ()
    assert host.withdraw()
    assert "nodeagent" not in world.host.command("nft", "list", "tables")
    assert host.withdraw()
    assert host.owned() == ()


def test_a_service_comes_first(world: World) -> None:
    """A redirection of the usual priority, as a cluster's proxy makes them, is asked before a pod's host port."""
    host, pod, behind = InHost(world), world.pod(), world.pod()
    host.apply(pod.rules(port("tcp", 8000, 80)))
    chain = "add chain ip proxy services { type nat hook prerouting priority dstnat; }"
    rule = f"add rule ip proxy services ip daddr {HOST[0]} tcp dport 8000 dnat to {behind.ip4}:80"
    world.host.command("nft", f"add table ip proxy; {chain}; {rule}")
    with packets.listening(pod, "tcp", 80, "host port"), packets.listening(behind, "tcp", 80, "service"):
        assert packets.ask(world.outside, "tcp", HOST[0], 8000)[0] == "service"


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
    assert host.check(other) == []
    assert host.check(rules) == [
        "host_ports4: tcp . 8000 : 10.90.0.5 . 80 is missing",
        "host_ports4: tcp . 8001 : 10.90.0.5 . 80 is not the pod's",
        "host_ports6: tcp . 8000 : fd90::5 . 80 is missing",
        "host_ports6: tcp . 8001 : fd90::5 . 80 is not the pod's",
    ]
    heir = pod.rules(container_id="heir")
    host.apply(heir)
    assert host.check(heir) == []
    host.remove(other)
    assert host.owned() == (heir.owner,)


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
    assert host.check(rules) == []
    world.host.command("nft", *damage.split())
    assert told in host.check(rules)
    if "table" in damage.split()[:2]:
        host.apply(rules)
        assert host.check(rules) == []


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
    assert host.check(rules) == []
    assert "of_old" not in world.ruleset()
    replace(f'{mark}"', f'version {pod_table().version + 1}"\n chain to_come {{ }}')
    InHost(world)
    assert "to_come" in world.ruleset()
    replace(mark, "by somebody")
    with pytest.raises(NftablesForeign, match="somebody else has made it"):
        InHost(world).apply(rules)
    assert host.check(rules) == []


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
    for owner in host.owned():
        assert host.check(rules_of(int(owner.container_id))) == []


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
        assert len(host.owned()) == left


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


def test_a_batch_of_any_size(world: World) -> None:
    """More than a socket's usual room is one transaction all the same: else a large node would have no rules at all."""
    kernel, table = Netfilter(), pod_table()
    world.host.run(lambda: ensure(kernel, table))
    item, says = table.sets[0], "c" * 250
    many = [Element(key=(f"10.{n >> 14}.{n >> 7 & 127}.{n & 127}", BRIDGE), comment=says) for n in range(35_000)]
    kernel.commit(new_elements(table.name, item, many))
    assert len(dump_elements(kernel, table, item)) == len(many)
