"""A pod's rules as `iptables-save` writes them."""

import shlex
from ipaddress import ip_interface

import pytest

from cni.native import iptables_rules
from cni.native.iptables_rules import pod_lines
from cni.native.rules import HostPort, PodRules

COMMENT = "-m comment --comment 'net a1 eth0'"


@pytest.fixture(autouse=True)
def unseen_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host where frames of IPv4 pass the packet filter, those of IPv6 do not."""
    monkeypatch.setattr(iptables_rules, "unseen_versions", lambda _: frozenset({6}))


def lines(version: int, *ports: HostPort, masquerade: bool = True) -> list[str]:
    addresses = (ip_interface("10.1.0.5/16"), ip_interface("fd00::5/64"))
    pod = PodRules(
        network="net",
        container_id="a1",
        ifname="eth0",
        bridge="br0",
        addresses=addresses,
        masquerade=masquerade,
        host_ports=ports,
    )
    return [shlex.join(line).replace(COMMENT, "#") for line in pod_lines(pod, version)]


def test_masquerade() -> None:
    """From loopback and to itself; what stays on its bridge or is multicast is left alone; the rest goes as the host."""
    assert lines(4) == [
        "-A NODEAGENT-POST -s 127.0.0.0/8 -d 10.1.0.5/32 # -j MASQUERADE",
        "-A NODEAGENT-POST -s 10.1.0.5/32 -d 10.1.0.5/32 # -m conntrack --ctstate DNAT -j MASQUERADE",
        "-A NODEAGENT-POST -s 10.1.0.5/32 -o br0 # -j RETURN",
        "-A NODEAGENT-POST -s 10.1.0.5/32 -d 224.0.0.0/4 # -j RETURN",
        "-A NODEAGENT-POST -s 10.1.0.5/32 # -j MASQUERADE",
    ]
    assert lines(6, masquerade=False) == [
        "-A NODEAGENT-POST -s fd00::5/128 -d fd00::5/128 # -m conntrack --ctstate DNAT -j MASQUERADE",
        "-A NODEAGENT-POST -s fd00::5/128 -o br0 # -m conntrack --ctstate DNAT -j MASQUERADE",
        "-A NODEAGENT-POST -s fd00::5/128 -o br0 # -j RETURN",
        "-A NODEAGENT-POST -s fd00::5/128 -d ff00::/8 # -j RETURN",
    ]


def test_host_ports() -> None:
    """At one address in the chain that is asked first; each in its family."""
    here = HostPort(protocol="udp", host_port=53, container_port=5353, host_ip="192.0.2.1")
    anywhere = HostPort(protocol="sctp", host_port=80, container_port=8080)
    assert lines(4, here, anywhere)[:2] == [
        "-A NODEAGENT-AT -d 192.0.2.1/32 -p udp # -m udp --dport 53 -j DNAT --to-destination 10.1.0.5:5353",
        "-A NODEAGENT-ANY -p sctp # -m sctp --dport 80 -j DNAT --to-destination 10.1.0.5:8080",
    ]
    assert lines(6, here, anywhere)[0].endswith("--dport 80 -j DNAT --to-destination '[fd00::5]:8080'")
