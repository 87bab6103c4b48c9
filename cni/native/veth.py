"""A pod's interface: a pair of links, one a port of the bridge, the other in the pod's namespace with its addresses and routes.

The host's end is named by the attachment, so that DEL finds what a killed ADD left, and says in its alias whose it is, for GC.
"""

import errno
import functools
import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cni.native import namespace, netlink, rtnl
from cni.native.failure import Code, Failure
from cni.native.ipam.allocator import Lease
from cni.native.netlink import NetlinkError, Refusal, Socket
from cni.native.rtnl import KernelRoute, Link
from cni.native.settings import Bridge

_ALIAS = "nodeagent-cni"
_ALIAS_MAX = 255
_LOOPBACK = 1
_PORT_SECONDS = 2.0
_PORT_PAUSE_SECONDS = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose interface it is."""

    network: str
    container_id: str
    ifname: str

    @property
    def host_name(self) -> str:
        """The name of the host's end."""
        text = f"{self.network} {self.container_id} {self.ifname}"
        return f"veth{hashlib.sha256(text.encode()).hexdigest()[:11]}"

    @property
    def alias(self) -> str:
        return f"{_alias_of(self.network)}{self.container_id} {self.ifname}"[:_ALIAS_MAX]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A pair that was made. `index`, `mac`: of the pod's end."""

    host: Link
    index: int
    mac: str


def attach(
    host: Socket, bridge: Link, wanted: Bridge, who: Identity, netns: int, mac: bytes, leases: Sequence[Lease]
) -> Pair:
    """Make the pair: both ends in one go, so that a kill leaves all or nothing of it. Raises Failure."""
    name = who.host_name
    neighbours = [rtnl.set_neighbour(bridge.index, lease.address, mac) for lease in leases] if wanted.is_gateway else []
    try:
        echoed = host.request(
            rtnl.new_veth(name, bridge.index, wanted.mtu, who.ifname, mac, netns),
            rtnl.set_port(name, who.alias, hairpin=wanted.hairpin, ipv6=_has_ipv6()),
            *neighbours,
        )
        (answer,) = echoed or host.request(rtnl.get_link(name))
    except NetlinkError as error:
        if error.errno == errno.EEXIST and error.place == 0:
            raise Failure(f"container {who.container_id} has an interface {who.ifname}, or {name} exists") from error
        if error.place > 0:
            detach(name)
        raise Failure(f"could not add the interface {who.ifname} and its peer {name}: {error}") from error
    link = rtnl.read_link(answer)
    return Pair(host=link, index=link.peer, mac=mac.hex(":"))


def configure(netns: int, ifname: str, index: int, leases: Sequence[Lease], routes: Sequence[KernelRoute]) -> None:
    """Addresses, then routes, inside; the loopback is up as well. Raises Failure."""
    ipv6 = any(lease.address.version == 6 for lease in leases)
    with namespace.entered(netns):
        inside = Socket()
        namespace.set_sysctls(_sysctls(ifname, ipv6))
    with inside:
        try:
            inside.request(
                rtnl.set_flags(_LOOPBACK, rtnl.UP),
                rtnl.set_flags(index, rtnl.UP),
                *(rtnl.new_address(index, lease.address, lease.range.network.prefixlen) for lease in leases),
                *(rtnl.new_route(route) for route in routes),
            )
        except NetlinkError as error:
            what = _step(error.place, leases, routes)
            raise Failure(f"could not configure {ifname}: {what}: {error}") from error


def wait_for_port(host: Socket, name: str) -> None:
    """Until the bridge forwards for the port: the kernel opens it a moment after both ends are up. Raises Failure."""
    deadline = time.monotonic() + _PORT_SECONDS
    while True:
        (answer,) = host.request(rtnl.get_link(name))
        link = rtnl.read_link(answer)
        if link.port_state == rtnl.PORT_FORWARDS:
            return
        if time.monotonic() > deadline:
            raise Failure(f"the port {name} does not forward after {_PORT_SECONDS:g}s", code=Code.TRY_AGAIN)
        time.sleep(_PORT_PAUSE_SECONDS)


def detach(name: str) -> None:
    """Remove the host's end, and with it the pod's. Nothing there is fine.

    Returns when neither can be seen any more, 1 ms; the kernel's call ends only after a grace period of RCU, 15 to 20 ms, which a
    thread of its own sits out.
    """
    remover, seen = Socket(), threading.Event()

    def ask() -> None:
        try:
            remover.send(rtnl.delete_link(name))
        finally:
            seen.wait()
            remover.close()

    threading.Thread(target=ask, name="veth-removal", daemon=True).start()
    try:
        _, answer = next(remover.answers(1, 1))
    finally:
        seen.set()
    if isinstance(answer, Refusal):
        error = NetlinkError(answer)
        if not netlink.is_gone(error):
            raise Failure(f"could not remove {name}: {error}")


def of_network(host: Socket, network: str) -> list[Link]:
    """The host's ends of a network's attachments."""
    links = (rtnl.read_link(answer) for answer in host.dump(rtnl.get_links()))
    return [link for link in links if link.kind == "veth" and link.alias.startswith(_alias_of(network))]


@functools.cache
def _has_ipv6() -> bool:
    return Path("/proc/sys/net/ipv6").is_dir()


def _alias_of(network: str) -> str:
    return f"{_ALIAS} {network} "


def _sysctls(ifname: str, ipv6: bool) -> dict[str, str]:
    """Nobody is asked whether an address is free: all on the bridge get theirs from one allocator."""
    folder = f"ipv6/conf/{ifname}"
    values = {f"{folder}/accept_dad": "0"}
    return values | ({f"{folder}/disable_ipv6": "0"} if ipv6 else {})


def _step(place: int, leases: Sequence[Lease], routes: Sequence[KernelRoute]) -> str:
    steps = [
        "loopback",
        "up",
        *(f"address {item.with_prefix}" for item in leases),
        *(f"route {item.to}" for item in routes),
    ]
    return steps[place] if place < len(steps) else ""
