"""Route netlink messages as bytes, against what pyroute2 reads in them."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from cni.native import rtnl
from cni.native.netlink import Message
from cni.native.rtnl import KernelRoute


def read(kind: Any, message: Message) -> Any:
    """What another library makes of it."""
    found = kind((16 + len(message.body)).to_bytes(4, "little") + bytes(12) + message.body)
    found.decode()
    return found


def test_a_pair() -> None:
    """The host's end is a port of the bridge, the other is born inside with its name and address."""
    found = read(ifinfmsg, rtnl.new_veth("veth0", 7, 1400, "eth0", bytes.fromhex("020000000001"), 99))
    assert (found.get_attr("IFLA_IFNAME"), found.get_attr("IFLA_MASTER"), found.get_attr("IFLA_MTU")) == (
        "veth0",
        7,
        1400,
    )
    peer = found.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert [peer.get_attr(name) for name in ("IFLA_IFNAME", "IFLA_ADDRESS", "IFLA_NET_NS_FD")] == [
        "eth0",
        "02:00:00:00:00:01",
        99,
    ]


def test_a_port() -> None:
    """With the name of its owner and its hairpin mode; what the kernel would answer is read as a link."""
    message = rtnl.set_port("veth0", "nodeagent-cni net c1 eth0", hairpin=True, ipv6=True)
    found = read(ifinfmsg, message)
    assert found.get_attr("IFLA_IFALIAS") == "nodeagent-cni net c1 eth0"
    link = rtnl.read_link(message)
    assert (link.name, link.alias, link.hairpin, link.kind) == ("veth0", "nodeagent-cni net c1 eth0", True, "")


@pytest.mark.parametrize(("text", "broadcast"), [("10.1.0.5/24", "10.1.0.255"), ("fd00::5/64", None)])
def test_an_address(text: str, broadcast: str | None) -> None:
    """IPv4 with its broadcast address, IPv6 without duplicate detection; read back as it was."""
    address, _, length = text.partition("/")
    message = rtnl.new_address(3, ip_address(address), int(length))
    found = read(ifaddrmsg, message)
    assert (found["index"], found.get_attr("IFA_ADDRESS"), found.get_attr("IFA_BROADCAST")) == (3, address, broadcast)
    assert (found.get_attr("IFA_FLAGS") or 0) == (2 if ":" in address else 0)
    assert rtnl.read_address(message) == text


def test_a_neighbour() -> None:
    """Reachable at once."""
    found = read(ndmsg, rtnl.set_neighbour(3, ip_address("10.1.0.5"), bytes.fromhex("020000000001")))
    assert (found["ifindex"], found["state"]) == (3, 2)
    assert (found.get_attr("NDA_DST"), found.get_attr("NDA_LLADDR")) == ("10.1.0.5", "02:00:00:00:00:01")


@pytest.mark.parametrize(
    "route",
    [
        KernelRoute(to=ip_network("0.0.0.0/0"), gateway=ip_address("10.1.0.1"), index=3),
        KernelRoute(
            to=ip_network("fd01::/64"), gateway=ip_address("fd00::1"), index=3, priority=9, table=1000, mtu=1300
        ),
        KernelRoute(to=ip_network("10.9.0.0/16"), gateway=None, index=3, scope=253),
    ],
)
def test_a_route(route: KernelRoute) -> None:
    """As pyroute2 reads it, and as we read it back."""
    message = rtnl.new_route(route)
    found = read(rtmsg, message)
    assert (found["dst_len"], found.get_attr("RTA_OIF"), found.get_attr("RTA_GATEWAY")) == (
        route.to.prefixlen,
        3,
        str(route.gateway) if route.gateway else None,
    )
    assert found.get_attr("RTA_TABLE") == (route.table or 254)
    metrics = found.get_attr("RTA_METRICS")
    assert (metrics.get_attr("RTAX_MTU") if metrics else None) == (route.mtu or None)
    again = rtnl.read_route(message)
    assert (again.to, again.gateway, again.index, again.priority) == (route.to, route.gateway, 3, route.priority)
