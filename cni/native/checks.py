"""CHECK: what has changed since the ADD. Looks only. Everything raises Failure, which names what is wrong."""

import errno
import ipaddress
from collections.abc import Sequence

from cni.native import bridges, namespace, outcome, rtnl
from cni.native.failure import Failure
from cni.native.netlink import NetlinkError, Socket
from cni.native.request import Request
from cni.native.rtnl import Link
from cni.native.settings import Bridge
from cni.native.veth import Identity
from cni.result import IPConfig, Result


def check_host(host: Socket, wanted: Bridge, who: Identity) -> None:
    """The bridge with its addresses, and the port."""
    bridge = bridges.find(host, wanted.name)
    if bridge is None or bridge.kind != "bridge" or not bridge.flags & rtnl.UP:
        raise Failure(f"the bridge {wanted.name} is not there, or not up")
    ranges = [item for one in wanted.addresses.sets for item in one]
    if wanted.is_gateway and (missing := bridges.gateways_missing(host, bridge, ranges)):
        raise Failure(f"the bridge {wanted.name} has no address {missing[0].gateway}")
    port = bridges.find(host, who.host_name)
    if port is None:
        raise Failure(f"the host's end {who.host_name} of {who.ifname} is not there")
    if port.master != bridge.index:
        raise Failure(f"{port.name} is no port of {wanted.name}")
    if not port.flags & rtnl.UP:
        raise Failure(f"{port.name} is down")
    if port.hairpin != wanted.hairpin:
        raise Failure(f"hairpin mode of {port.name} is {port.hairpin}, configured is {wanted.hairpin}")


def check_inside(netns: int, request: Request, wanted: Bridge, result: Result) -> list[str]:
    """The pod's end with its addresses and routes; returns those addresses, without prefix length."""
    own = own_addresses(request, result)
    with namespace.entered(netns):
        inside = Socket()
    with inside:
        link = _link(inside, request.ifname)
        _check_link(link, request, result)
        present = {rtnl.read_address(answer) for answer in inside.dump(rtnl.get_addresses(link.index))}
        for ip in own:
            if str(ipaddress.ip_interface(ip.address)) not in present:
                raise Failure(f"{request.ifname} has no address {ip.address}")
        _check_routes(inside, link.index, wanted, own)
    return [ip.address.partition("/")[0] for ip in own]


def own_addresses(request: Request, result: Result) -> list[IPConfig]:
    """Those of a result that are on the request's interface."""
    names = set(result.pod_ips(request.ifname))
    return [ip for ip in result.ips if ip.address.partition("/")[0] in names]


def _link(inside: Socket, name: str) -> Link:
    try:
        (answer,) = inside.request(rtnl.get_link(name))
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            raise Failure(f"the interface {name} is not there") from error
        raise
    return rtnl.read_link(answer)


def _check_link(link: Link, request: Request, result: Result) -> None:
    if not link.flags & rtnl.UP:
        raise Failure(f"{link.name} is down")
    for told in result.interfaces:
        if told.name == link.name and told.sandbox and told.mac and told.mac.lower() != link.mac:
            raise Failure(f"{request.ifname} has the hardware address {link.mac}, at the ADD it was {told.mac}")


def _check_routes(inside: Socket, index: int, wanted: Bridge, own: Sequence[IPConfig]) -> None:
    gateways = {ipaddress.ip_interface(ip.address).version: ip.gateway for ip in reversed(own)}
    present = [rtnl.read_route(answer) for answer in inside.dump(rtnl.get_routes())]
    for route in outcome.routes(wanted, gateways):
        gateway = str(route.gateway or gateways[route.to.version])
        # another interface's may have been there first
        if not any(it.to == route.to and (it.index != index or str(it.gateway) == gateway) for it in present):
            raise Failure(f"there is no route to {route.to} through {gateway}")
