"""Messages of route netlink (linux/rtnetlink.h, if_link.h, if_bridge.h): links, addresses, routes."""

import errno
import ipaddress
import socket
import struct
from dataclasses import dataclass

from cni.native.attributes import attribute, nest, parse, string, text
from cni.native.ipam.ranges import Address, Net
from cni.native.netlink import CREATE, ECHO, EXCLUSIVE, REPLACE, Message, as_number, number

NEWLINK, DELLINK, GETLINK = 16, 17, 18
_NEWADDR, _GETADDR = 20, 22
_NEWROUTE, _GETROUTE = 24, 26
_NEWNEIGH = 28

UP = 0x1
PROMISCUOUS = 0x100
PORT_FORWARDS = 3

_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_NEIGHBOUR = struct.Struct("=B3xiHBB")  # family, index, state, flags, type
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
_IFLA_IFALIAS, _IFLA_AF_SPEC, _IFLA_NET_NS_FD, _IFLA_EXT_MASK = 20, 26, 28, 29
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_VETH_PEER = 1
_PORT_STATE, _PORT_MODE = 1, 4
_INET6_ADDR_GEN_MODE = 8
_NO_ADDRESS = 1
_WITHOUT_STATISTICS = 8
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_IFA_NO_DAD = 2
_NDA_DST, _NDA_LLADDR, _NUD_REACHABLE = 1, 2, 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_METRICS, _RTA_TABLE = 1, 4, 5, 6, 8, 15
_METRIC_MTU, _METRIC_ADVMSS = 2, 8
_TABLE_MAIN, _PROTOCOL_BOOT, _UNICAST = 254, 3, 1
_SCOPE_LINK = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link as the kernel tells it. `peer`: the index of a veth's other end; `port_state`, `hairpin`: of a port."""

    index: int
    name: str
    flags: int
    mac: str
    mtu: int
    master: int
    peer: int
    kind: str
    alias: str
    port_state: int
    hairpin: bool


def read_link(message: Message) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(message.body)
    found = parse(message.body[_LINK.size :])
    info = parse(found.get(_IFLA_LINKINFO, b""))
    port = parse(info.get(_INFO_SLAVE_DATA, b"")) if string(info.get(_INFO_SLAVE_KIND, b"")) == "bridge" else {}
    return Link(
        index=index,
        name=string(found.get(_IFLA_IFNAME, b"")),
        flags=flags,
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        mtu=as_number(found.get(_IFLA_MTU)),
        master=as_number(found.get(_IFLA_MASTER)),
        peer=as_number(found.get(_IFLA_LINK)),
        kind=string(info.get(_INFO_KIND, b"")),
        alias=string(found.get(_IFLA_IFALIAS, b"")),
        port_state=as_number(port.get(_PORT_STATE)),
        hairpin=as_number(port.get(_PORT_MODE)) == 1,
    )


def get_link(name: str) -> Message:
    return Message(GETLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + _without_statistics() + text(_IFLA_IFNAME, name))


def get_links() -> Message:
    """For a dump."""
    return Message(GETLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + _without_statistics())


def new_bridge(name: str, mac: bytes, flags: int) -> Message:
    """With an address of its own: else it would change with its ports."""
    info = nest(_IFLA_LINKINFO, text(_INFO_KIND, "bridge"))
    body = _LINK.pack(0, 0, 0, flags, flags) + text(_IFLA_IFNAME, name) + attribute(_IFLA_ADDRESS, mac) + info
    return Message(NEWLINK, CREATE | EXCLUSIVE, body)


def new_veth(name: str, master: int, mtu: int, peer: str, peer_mac: bytes, peer_netns: int) -> Message:
    """A pair, its host side up and a port of `master`, its other end born in the pod's namespace.

    Echoed, from Linux 6.2 on: the host side.
    """
    size = number(_IFLA_MTU, mtu) if mtu else b""
    inside = b"".join(
        (
            _LINK.pack(0, 0, 0, 0, 0),
            text(_IFLA_IFNAME, peer),
            attribute(_IFLA_ADDRESS, peer_mac),
            size,
            number(_IFLA_NET_NS_FD, peer_netns),
        )
    )
    data = nest(_INFO_DATA, attribute(_VETH_PEER, inside))
    body = b"".join(
        (
            _LINK.pack(0, 0, 0, UP, UP),
            text(_IFLA_IFNAME, name),
            size,
            number(_IFLA_MASTER, master),
            nest(_IFLA_LINKINFO, text(_INFO_KIND, "veth"), data),
        )
    )
    return Message(NEWLINK, CREATE | EXCLUSIVE | ECHO, body)


def set_port(name: str, alias: str, *, hairpin: bool, ipv6: bool) -> Message:
    """What cannot be said when a port is made. It has no IPv6 address of its own (nobody speaks to a port); `ipv6`: the kernel
    knows what that is."""
    mode = attribute(_PORT_MODE, bytes([hairpin]))
    no_address = attribute(_INET6_ADDR_GEN_MODE, bytes([_NO_ADDRESS]))
    body = b"".join(
        (
            _LINK.pack(0, 0, 0, 0, 0),
            text(_IFLA_IFNAME, name),
            text(_IFLA_IFALIAS, alias),
            nest(_IFLA_AF_SPEC, nest(socket.AF_INET6, no_address)) if ipv6 else b"",
            nest(_IFLA_LINKINFO, text(_INFO_SLAVE_KIND, "bridge"), nest(_INFO_SLAVE_DATA, mode)),
        )
    )
    return Message(NEWLINK, 0, body)


def set_flags(index: int, flags: int) -> Message:
    return Message(NEWLINK, 0, _LINK.pack(0, 0, index, flags, flags))


def delete_link(name: str) -> Message:
    """Echoed, from Linux 6.2 on, when the link and a pair's other end can be seen no more: long before the kernel is done."""
    return Message(DELLINK, ECHO, _LINK.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name))


def new_address(index: int, address: Address, prefix_length: int) -> Message:
    """Usable at once: nobody else is given it, so there is nobody to ask."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    body = _ADDRESS.pack(family, prefix_length, 0, 0, index) + attribute(_IFA_LOCAL, address.packed)
    body += attribute(_IFA_ADDRESS, address.packed)
    if address.version == 6:
        body += number(_IFA_FLAGS, _IFA_NO_DAD)
    elif prefix_length < 31:
        network = ipaddress.ip_network((address, prefix_length), strict=False)
        body += attribute(_IFA_BROADCAST, network.broadcast_address.packed)
    return Message(_NEWADDR, CREATE | EXCLUSIVE, body)


def get_addresses(index: int) -> Message:
    """For a dump, of both families."""
    return Message(_GETADDR, 0, _ADDRESS.pack(0, 0, 0, 0, index))


def read_address(message: Message) -> str:
    """The address with its prefix length."""
    prefix_length = message.body[1]
    found = parse(message.body[_ADDRESS.size :])
    packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS) or b""
    return f"{ipaddress.ip_address(packed)}/{prefix_length}"


def set_neighbour(index: int, address: Address, mac: bytes) -> Message:
    """Who has the address now, on the link `index`."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    head = _NEIGHBOUR.pack(family, index, _NUD_REACHABLE, 0, 0)
    body = head + attribute(_NDA_DST, address.packed) + attribute(_NDA_LLADDR, mac)
    return Message(_NEWNEIGH, CREATE | REPLACE, body)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRoute:
    """`gateway` None: the network is on the link. Values that are 0 are the kernel's choice."""

    to: Net
    gateway: Address | None
    index: int
    mtu: int = 0
    advmss: int = 0
    priority: int = 0
    table: int = 0
    scope: int | None = None


def new_route(route: KernelRoute) -> Message:
    """Of two routes to one network the first wins: that of a pod's first interface."""
    family = socket.AF_INET if route.to.version == 4 else socket.AF_INET6
    scope = route.scope if route.scope is not None else 0 if route.gateway is not None else _SCOPE_LINK
    table = route.table or _TABLE_MAIN
    parts = [
        _ROUTE.pack(family, route.to.prefixlen, 0, 0, table if table < 256 else 0, _PROTOCOL_BOOT, scope, _UNICAST, 0),
        number(_RTA_OIF, route.index),
        number(_RTA_TABLE, table),
    ]
    if route.to.prefixlen:
        parts.append(attribute(_RTA_DST, route.to.network_address.packed))
    if route.gateway is not None:
        parts.append(attribute(_RTA_GATEWAY, route.gateway.packed))
    if route.priority:
        parts.append(number(_RTA_PRIORITY, route.priority))
    given = ((_METRIC_MTU, route.mtu), (_METRIC_ADVMSS, route.advmss))
    if metrics := [number(kind, value) for kind, value in given if value]:
        parts.append(nest(_RTA_METRICS, *metrics))
    return Message(_NEWROUTE, CREATE | EXCLUSIVE, b"".join(parts), fine=errno.EEXIST)


def get_routes() -> Message:
    """For a dump, of both families."""
    return Message(_GETROUTE, 0, _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0))


def read_route(message: Message) -> KernelRoute:
    family, length, _, _, table, _, scope, _, _ = _ROUTE.unpack_from(message.body)
    found = parse(message.body[_ROUTE.size :])
    anywhere = bytes(4 if family == socket.AF_INET else 16)
    gateway = found.get(_RTA_GATEWAY)
    return KernelRoute(
        to=ipaddress.ip_network((found.get(_RTA_DST, anywhere), length), strict=False),
        gateway=ipaddress.ip_address(gateway) if gateway else None,
        index=as_number(found.get(_RTA_OIF)),
        table=as_number(found.get(_RTA_TABLE)) or table,
        priority=as_number(found.get(_RTA_PRIORITY)),
        scope=scope,
    )


def _without_statistics() -> bytes:
    return number(_IFLA_EXT_MASK, _WITHOUT_STATISTICS)
