"""Services in the real kernel, without an API: connections come to the right endpoints, or are refused."""

import collections
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import packets
import pytest
from components import require
from lightkube.models.core_v1 import Service
from lightkube.models.discovery_v1 import EndpointSlice
from packets import GATEWAY, HOST, OUTSIDE, PodPlace, World

from cni.native.nftables.kernel import Netfilter
from cni.native.nftables_rules import NftablesRules
from nodeagent.services.balancing import Endpoint
from nodeagent.services.elements import Wants
from nodeagent.services.frontends import View, frontends
from nodeagent.services.kernel_table import KernelTable
from nodeagent.services.other_agents import claims_of_others

pytestmark = pytest.mark.node

NODE = "here"
CLUSTER = ("10.96.0.20", "fd96::20")
EXTERNAL = ("198.51.100.7", "2001:db8:7::7")
TABLE = "packets-services"


class Cluster:
    """What an API would tell, put into the host's kernel by `sync`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.table = KernelTable(TABLE)
        self.services: dict[str, tuple[Service, list[EndpointSlice]]] = {}
        self.view = View(node_name=NODE)

    def service(self, name: str = "web", protocol: str = "TCP", **spec: Any) -> None:
        """A Service of both families at port 80, node port 30080."""
        port = {"port": 80, "protocol": protocol, "targetPort": 8080, "nodePort": 30080}
        whole = {"type": "NodePort", "clusterIP": CLUSTER[0], "clusterIPs": [*CLUSTER], "ports": [port], **spec}
        made = msgspec.convert({"metadata": {"name": name, "namespace": "default"}, "spec": whole}, Service)
        self.services[name] = (made, [])

    def endpoints(self, *pods: PodPlace, name: str = "web", node: str = NODE, **conditions: bool) -> None:
        """The pods behind it, in two slices; replaces those before."""
        service, _ = self.services[name]
        assert service.spec and service.spec.ports
        ports = [{"port": 8080, "protocol": service.spec.ports[0].protocol, "name": ""}]
        slices = [
            msgspec.convert(
                {
                    "metadata": {"name": f"{name}-{kind}"},
                    "addressType": kind,
                    "ports": ports,
                    "endpoints": [
                        {"addresses": [address(pod)], "nodeName": node, "conditions": {"ready": True, **conditions}}
                        for pod in pods
                    ],
                },
                EndpointSlice,
            )
            for kind, address in (("IPv4", lambda pod: pod.ip4), ("IPv6", lambda pod: pod.ip6))
        ]
        self.services[name] = (service, slices)

    def sync(self) -> int:
        addresses = ((4, CLUSTER[0]), (6, CLUSTER[1]))
        aim = {
            name: Wants(frontends(service, slices, self.view), addresses)
            for name, (service, slices) in self.services.items()
        }
        return self.world.host.run(lambda: self.table.apply(aim))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Pods and the machine outside have a default route by the host; the host has one to nowhere."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    require("nft", "ip", "nsenter")
    with packets.world(tmp_path) as world:
        world.outside.ip(f"route add default via {HOST[0]}", f"route add default via {HOST[1]}")
        world.host.ip("link add away0 type veth peer name away1", "link set away0 up", "link set away1 up")
        world.host.ip("addr add 203.0.113.1/24 dev away0", "addr add 2001:db8:113::1/64 dev away0 nodad")
        world.host.ip("route add default dev away0", "route add ::/0 dev away0")
        made = Cluster(world)
        yield made
        made.table.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., None]]:
    """Let pods answer at port 8080 with their number."""
    with ExitStack() as stack:

        def start(*pods: PodPlace, protocol: str = "tcp") -> None:
            for pod in pods:
                stack.enter_context(packets.listening(pod, protocol, 8080, str(pod.number)))

        yield start


def who(cluster: Cluster, place: Any, address: str, port: int = 80, protocol: str = "tcp", times: int = 1) -> set[str]:
    return {packets.ask(place, protocol, address, port)[0] for _ in range(times)}


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_every_way_in(cluster: Cluster, serve: Callable[..., None], protocol: str) -> None:
    """Cluster address, node port and external address; from a pod, from an endpoint itself, the host and outside."""
    world = cluster.world
    client, one = world.pod(), world.pod()
    serve(one, protocol=protocol)
    cluster.service(protocol=protocol.upper(), externalIPs=[*EXTERNAL])
    cluster.endpoints(one)
    cluster.sync()
    for version in (0, 1):
        ways = [(CLUSTER[version], 80), (HOST[version], 30080), (GATEWAY[version], 30080), (EXTERNAL[version], 80)]
        for place in (world.host, world.outside):
            for address, port in ways[:2] + ways[3:]:
                assert who(cluster, place, address, port, protocol) == {"6"}, (address, port)
        for address, port in ways:
            assert packets.ask(one, protocol, address, port) == ("6", GATEWAY[version]), "hairpin"
        assert packets.ask(world.outside, protocol, HOST[version], 30080) == ("6", OUTSIDE[version])
    world.host.run(lambda: NftablesRules().apply(client.rules()))
    world.host.run(lambda: NftablesRules().apply(one.rules()))
    for version in (0, 1):
        seen = (client.ip4, client.ip6)[version]
        assert packets.ask(client, protocol, CLUSTER[version], 80) == ("6", seen), "by its own address"
        assert packets.is_silent(world.host, protocol, ("127.0.0.1", "::1")[version], 30080)


def test_sctp(cluster: Cluster) -> None:
    """An association's first packet comes to the endpoint."""
    pod = cluster.world.pod()
    cluster.service(protocol="SCTP")
    cluster.endpoints(pod)
    cluster.sync()
    for version, family in enumerate((packets.socket.AF_INET, packets.socket.AF_INET6)):
        with packets.sctp_arrivals(pod, family) as wait:
            packets.send_sctp_init(cluster.world.outside, CLUSTER[version], 80)
            assert wait() == 8080


def test_endpoints_share_the_connections(cluster: Cluster, serve: Callable[..., None]) -> None:
    """Each of three gets some of sixty; one that goes gets none, one that comes does; a change is one small transaction."""
    pods = [cluster.world.pod() for _ in range(4)]
    serve(*pods)
    cluster.service()
    cluster.endpoints(*pods[:3])
    cluster.sync()
    assert cluster.sync() == 0
    for version in (0, 1):
        found = collections.Counter(
            packets.ask(cluster.world.outside, "tcp", CLUSTER[version], 80)[0] for _ in range(60)
        )
        assert set(found) == {"5", "6", "7"}
    cluster.endpoints(*pods[1:])
    assert 0 < cluster.sync() <= 12
    assert who(cluster, cluster.world.outside, CLUSTER[0], times=60) == {"6", "7", "8"}
    cluster.endpoints(pods[0])
    cluster.sync()
    assert who(cluster, cluster.world.outside, CLUSTER[0], times=5) == {"5"}


def test_a_client_comes_to_the_same_endpoint(cluster: Cluster, serve: Callable[..., None]) -> None:
    """With affinity, from any port; it stays there when others come and go, and has a new one when it is gone."""
    pods = [cluster.world.pod() for _ in range(3)]
    serve(*pods)
    cluster.service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 600}})
    cluster.endpoints(*pods)
    cluster.sync()
    for version in (0, 1):
        (first,) = who(cluster, cluster.world.outside, CLUSTER[version], times=20)
        gone = next(pod for pod in pods if str(pod.number) != first)
        for some in ([pod for pod in pods if pod is not gone], pods):
            cluster.endpoints(*some)
            cluster.sync()
            assert who(cluster, cluster.world.outside, CLUSTER[version], times=5) == {first}
        cluster.endpoints(*(pod for pod in pods if str(pod.number) != first))
        cluster.sync()
        (second,) = who(cluster, cluster.world.outside, CLUSTER[version], times=20)
        assert second != first
        cluster.endpoints(*pods)
        cluster.sync()
        assert who(cluster, cluster.world.outside, CLUSTER[version], times=5) == {second}


def test_affinity_ends(cluster: Cluster, serve: Callable[..., None]) -> None:
    """What the kernel remembers of a client has the Service's timeout."""
    pod = cluster.world.pod()
    serve(pod)
    cluster.service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 77}})
    cluster.endpoints(pod)
    cluster.sync()
    who(cluster, cluster.world.outside, CLUSTER[0])
    listed = cluster.world.host.command("nft", "list", "set", "inet", TABLE, "address4_clients_0")
    assert f"{CLUSTER[0]} . tcp . 80 . {OUTSIDE[0]} timeout 1m17s" in listed


def test_nft_shows_it_and_reads_it_again(cluster: Cluster) -> None:
    """An operator may save all rules of a machine and load them again, ours with affinity and holes among them."""
    pods = [cluster.world.pod() for _ in range(3)]
    cluster.service(sessionAffinity="ClientIP")
    cluster.endpoints(*pods)
    cluster.sync()
    cluster.endpoints(pods[0], pods[2])
    cluster.sync()
    before = cluster.world.host.command("nft", "list", "ruleset")
    assert "goto address4_to_2_10800s" in before
    cluster.world.host.command("nft", "-f", "-", text=f"flush ruleset\n{before}")
    assert cluster.world.host.command("nft", "list", "ruleset") == before


def test_without_endpoints(cluster: Cluster, serve: Callable[..., None]) -> None:
    """Connections are refused at once, at every way in; so are ports of the cluster address that are no Service's."""
    pod = cluster.world.pod()
    serve(pod)
    cluster.service()
    cluster.sync()
    outside = cluster.world.outside
    for version in (0, 1):
        for place, address, port in (
            (pod, CLUSTER[version], 80),
            (cluster.world.host, CLUSTER[version], 80),
            (outside, CLUSTER[version], 80),
            (outside, HOST[version], 30080),
            (outside, CLUSTER[version], 81),
        ):
            with pytest.raises(ConnectionRefusedError):
                packets.ask(place, "tcp", address, port)
    cluster.endpoints(pod)
    cluster.sync()
    assert who(cluster, outside, CLUSTER[0]) == {"5"}


def test_local_policies(cluster: Cluster, serve: Callable[..., None]) -> None:
    """Local: only endpoints of this node; nothing at all where there are only others, while the other policy goes there."""
    here, there = cluster.world.pod(), cluster.world.pod()
    serve(here, there)
    cluster.service(externalTrafficPolicy="Local")
    cluster.endpoints(here)
    _, slices = cluster.services["web"]
    cluster.endpoints(there, node="elsewhere")
    service, others = cluster.services["web"]
    cluster.services["web"] = (service, slices + others)
    cluster.sync()
    assert who(cluster, cluster.world.outside, HOST[0], 30080, times=20) == {"5"}
    assert who(cluster, cluster.world.outside, CLUSTER[0], times=60) == {"5", "6"}
    cluster.services["web"] = (service, others)
    cluster.sync()
    with pytest.raises(TimeoutError):
        packets.ask(cluster.world.outside, "tcp", HOST[0], 30080)
    assert packets.ask(cluster.world.outside, "tcp", CLUSTER[0], 80) == ("6", GATEWAY[0]), (
        "another machine's: masqueraded"
    )


def test_terminating_endpoints(cluster: Cluster, serve: Callable[..., None]) -> None:
    """They serve as long as no other is ready, and no longer."""
    old, new = cluster.world.pod(), cluster.world.pod()
    serve(old, new)
    cluster.service()
    cluster.endpoints(old, ready=False, serving=True, terminating=True)
    cluster.sync()
    assert who(cluster, cluster.world.outside, CLUSTER[0]) == {"5"}
    service, slices = cluster.services["web"]
    cluster.endpoints(new)
    cluster.services["web"] = (service, slices + cluster.services["web"][1])
    cluster.sync()
    assert who(cluster, cluster.world.outside, CLUSTER[0], times=20) == {"6"}


def test_udp_follows_its_endpoints(cluster: Cluster, serve: Callable[..., None]) -> None:
    """A client that goes on from the same port is led to the endpoint that there is now."""
    first, second = cluster.world.pod(), cluster.world.pod()
    serve(first, second, protocol="udp")
    cluster.service(protocol="UDP")
    cluster.endpoints(first)
    cluster.sync()
    with packets.client(cluster.world.outside, "udp", CLUSTER[0]) as client:
        client.settimeout(packets.ANSWER_SECONDS)
        assert packets.exchange(client, CLUSTER[0], 80)[0] == "5"
        cluster.endpoints(second)
        cluster.sync()
        assert packets.exchange(client, CLUSTER[0], 80)[0] == "6"


def test_the_next_agent_adopts(cluster: Cluster, serve: Callable[..., None]) -> None:
    """Nothing changes when it wants the same; what it does not want goes; a flushed table comes back."""
    pod = cluster.world.pod()
    serve(pod)
    cluster.service()
    cluster.endpoints(pod)
    cluster.sync()
    before = cluster.world.host.command("nft", "list", "table", "inet", TABLE)
    cluster.table.close()
    cluster.table = KernelTable(TABLE)
    assert cluster.sync() == 0
    assert cluster.world.host.command("nft", "list", "table", "inet", TABLE) == before
    assert not cluster.table.was_touched()
    for damage in ("flush ruleset", f"flush chain inet {TABLE} services", f"flush map inet {TABLE} ways4"):
        cluster.world.host.command("nft", *damage.split())
        assert cluster.table.was_touched()
        cluster.sync()
        assert who(cluster, cluster.world.outside, CLUSTER[0]) == {"5"}
    cluster.services.clear()
    cluster.sync()
    assert packets.is_silent(cluster.world.outside, "tcp", CLUSTER[0], 80)
    assert cluster.table.discard()
    assert not cluster.table.discard()
    assert cluster.world.host.command("nft", "list", "tables") == ""


def test_chains_do_not_pile_up(cluster: Cluster, serve: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes ever other timeouts does not fill the kernel's memory; connections come through as before."""
    monkeypatch.setattr("nodeagent.services.kernel_table._SPARE_CHAINS", 10)
    pod = cluster.world.pod()
    serve(pod)
    for seconds in range(1, 40):
        config = {"clientIP": {"timeoutSeconds": seconds}}
        cluster.service(sessionAffinity="ClientIP", sessionAffinityConfig=config)
        cluster.endpoints(pod)
        cluster.sync()
    listed = cluster.world.host.command("nft", "list", "table", "inet", TABLE)
    assert listed.count("chain ") < 45
    assert who(cluster, cluster.world.outside, CLUSTER[0], times=3) == {str(pod.number)}


def test_another_agent_with_the_same_addresses_is_seen(cluster: Cluster) -> None:
    """By the addresses of its Services: not one's own table, not another range, not what is not an agent's."""
    cluster.world.host.run(NftablesRules().prepare)
    cluster.service()
    cluster.endpoints()
    cluster.sync()
    kernel = Netfilter()

    def seen(own: str, network: str) -> list[str]:
        return cluster.world.host.run(lambda: claims_of_others(kernel, own, [ip_network(network)]))

    assert seen("mine-services", "10.96.0.0/12") == seen("mine-services", "fd96::/108") == [TABLE]
    assert seen(TABLE, "10.96.0.0/12") == seen("mine-services", "10.97.0.0/16") == []
    kernel.close()


def test_the_apis_own_service(cluster: Cluster, serve: Callable[..., None]) -> None:
    """It leads where the agent says, whatever slices say."""
    api, impostor = cluster.world.pod(), cluster.world.pod()
    serve(api, impostor)
    cluster.view = View(node_name=NODE, api=Endpoint(api.ip4, 8080, True))
    cluster.service("kubernetes")
    cluster.endpoints(impostor, name="kubernetes")
    cluster.sync()
    assert who(cluster, cluster.world.outside, CLUSTER[0], times=10) == {"5"}
