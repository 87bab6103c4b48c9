"""The promises of pods' rules, by nftables and by the iptables programs: where packets go, who owns what, what is told."""

import socket
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path

import packets
import pytest
from components import require
from packets import GATEWAY, HOST, NETWORK, OUTSIDE, World

from cni.native.rules import HostPortTaken, Owner, PodRules

from .pod_rules import InHost, Kind, port, see_frames

pytestmark = pytest.mark.node


@pytest.fixture(params=["nftables", "iptables"])
def host(world: World, request: pytest.FixtureRequest) -> Iterator[InHost]:
    """The rules, which leave nothing when the last pod has gone."""
    kind: Kind = request.param
    require("nft" if kind == "nftables" else "iptables-legacy-restore")
    before = everything(world)
    made = InHost(world, kind)
    yield made
    for owner in made.owned():
        made.world.host.run(lambda owner=owner: made.rules.remove(*owner))  # type: ignore[misc]
    assert made.withdraw()
    assert everything(world) == before


def everything(world: World) -> list[str]:
    """All rules of the host, but for the counters and the built-in chains that looking at them makes."""
    saved = world.host.command("nft", "list", "ruleset").splitlines()
    for program in ("iptables-legacy-save", "ip6tables-legacy-save"):
        saved += [line for line in world.host.command(program).splitlines() if line.startswith(("-A", ":NODE"))]
    return saved


def test_masquerade(host: InHost) -> None:
    """Outside sees the host; another pod of the bridge sees the pod itself; a pod that is not to be masqueraded is seen."""
    world, one, other = host.world, host.world.pod(), host.world.pod()
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


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_host_ports(host: InHost, protocol: str, seen: bool) -> None:
    """From outside, from the host itself by each of its addresses, from another pod and from the pod itself (hairpin).

    The other pod is seen by its own address where its answers come back through the packet filter.
    """
    world, pod, other = host.world, host.world.pod(), host.world.pod()
    see_frames(world, seen)
    host.apply(pod.rules(port(protocol, 8000, 80)))
    host.apply(other.rules())
    with packets.listening(pod, protocol, 80, "pod"):
        for version, own in enumerate((pod.ip4, pod.ip6)):
            assert packets.ask(world.outside, protocol, HOST[version], 8000) == ("pod", OUTSIDE[version])
            for address in (HOST[version], GATEWAY[version], *(("127.0.0.1",) if version == 0 else ())):
                assert packets.ask(world.host, protocol, address, 8000)[0] == "pod", address
            assert packets.ask(pod, protocol, HOST[version], 8000) == ("pod", GATEWAY[version])
            from_other = (other.ip4, other.ip6)[version] if seen else GATEWAY[version]
            assert packets.ask(other, protocol, HOST[version], 8000) == ("pod", from_other)
            assert packets.ask(other, protocol, own, 80)[0] == "pod"
            assert packets.is_silent(world.outside, protocol, HOST[version], 80)
        host.remove(pod.rules())
        assert packets.is_silent(world.outside, protocol, HOST[0], 8000)


def test_sctp(host: InHost) -> None:
    """The first packet of an association comes to the pod's port."""
    world, pod = host.world, host.world.pod()
    host.apply(pod.rules(port("sctp", 8000, 80)))
    for version, family in enumerate((socket.AF_INET, socket.AF_INET6)):
        with packets.sctp_arrivals(pod, family) as wait:
            packets.send_sctp_init(world.outside, HOST[version], 8000)
            assert wait() == 80


def test_one_address_of_the_host(host: InHost) -> None:
    """A host port with hostIP leads to its pod at that address, and to the pod that has it everywhere at the others."""
    world, here, everywhere = host.world, host.world.pod(), host.world.pod()
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


def test_pods_do_not_reach_the_hosts_loopback(host: InHost) -> None:
    """The bridge routes 127.0.0.0/8 for host ports; what a pod sends there is dropped all the same."""
    world, pod = host.world, host.world.pod()
    host.apply(pod.rules(port("tcp", 8000, 80)))
    pod.ip(
        *(f"route del local 127.0.0.{end} dev lo table local" for end in ("0/8", "1")),
        f"route add 127.0.0.0/8 via {GATEWAY[0]}",
    )
    pod.run(lambda: Path("/proc/sys/net/ipv4/conf/eth0/route_localnet").write_text("1"))
    with packets.listening(world.host, "udp", 9000, "host"):
        assert packets.ask(world.host, "udp", "127.0.0.1", 9000)[0] == "host"
        assert packets.is_silent(pod, "udp", "127.0.0.1", 9000)
        host.drop_guard()
        assert packets.ask(pod, "udp", "127.0.0.1", 9000)[0] == "host"  # so it was the guard


def test_udp_follows_a_port_that_moves(host: InHost) -> None:
    """A client that keeps its socket open is answered by the next pod, also if it had sent while there was none."""
    world, first, second = host.world, host.world.pod(), host.world.pod()
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


def test_a_host_port_has_one_owner(host: InHost) -> None:
    """The second pod is refused whole and told who has it; with the first gone it may have it."""
    first, second = host.world.pod(), host.world.pod()
    host.apply(first.rules(port("tcp", 8000, 80)))
    with pytest.raises(
        HostPortTaken, match=r"host port tcp 8000 is taken by container pod5 \(eth0, network packets\)"
    ) as caught:
        host.apply(second.rules(port("tcp", 8001, 80), port("tcp", 8000, 80)))
    assert caught.value.owner == Owner(NETWORK, "pod5", "eth0")
    assert host.owned() == (Owner(NETWORK, "pod5", "eth0"),)
    host.apply(second.rules(port("udp", 8000, 80)))
    host.remove(first.rules())
    host.apply(second.rules(port("tcp", 8000, 80)))
    assert host.check(second.rules(port("tcp", 8000, 80))) == []


def test_garbage(host: InHost) -> None:
    """Of one network what is not valid goes; other networks are left alone."""
    pods = [host.world.pod() for _ in range(3)]
    for pod in pods:
        host.apply(pod.rules(port("tcp", 8000 + pod.number, 80)))
    addresses = (ip_interface("10.91.0.5/24"),)
    stranger = PodRules(network=f"{NETWORK}2", container_id="pod5", ifname="eth0", bridge="br1", addresses=addresses)
    host.apply(stranger)
    host.keep_only(NETWORK, {("pod6", "eth0")})
    assert host.owned() == (pods[1].rules().owner, stranger.owner)


def test_again_is_the_same_and_other_is_instead(host: InHost) -> None:
    """Applied twice nothing changes; with other ports those before are gone."""
    pod = host.world.pod()
    rules, other = pod.rules(port("tcp", 8000, 80)), pod.rules(port("tcp", 8001, 80))
    host.apply(rules)
    before = everything(host.world)
    host.apply(rules)
    assert everything(host.world) == before
    host.apply(other)
    assert host.check(other) == []
    assert len(host.check(rules)) == 4
    host.remove(other)
    assert host.owned() == ()
    assert host.check(other) != []
