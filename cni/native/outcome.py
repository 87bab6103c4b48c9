"""What an ADD answers, and the routes that it makes. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from cni.errors import CNIError
from cni.native import settings
from cni.native.failure import Code, Failure
from cni.native.ipam.allocator import Lease
from cni.native.ipam.ranges import Address
from cni.native.request import Request
from cni.native.rtnl import KernelRoute, Link
from cni.native.settings import Bridge, Route
from cni.native.veth import Pair
from cni.result import DNS, Interface, IPConfig, Result, from_wire
from cni.result import Route as ResultRoute


def previous_result(request: Request) -> Result | None:
    """What earlier plugins of the chain have made, of whatever version it is. Raises Failure."""
    wire = request.config.get("prevResult")
    if wire is None:
        return None
    try:
        return from_wire(wire, request.version)
    except CNIError as error:
        raise Failure(f"prevResult: {error}", code=Code.DECODING) from error


def routes(wanted: Bridge, versions: Iterable[int]) -> list[Route]:
    """Of the families that the pod has: the configured ones, and the default one where the bridge is the default gateway."""
    there = set(versions)
    found = [route for route in wanted.addresses.routes if route.to.version in there]
    if wanted.is_default_gateway:
        present = {route.to for route in found}
        defaults = (settings.default_route(version) for version in sorted(there))
        found += [Route(to=to) for to in defaults if to not in present]
    return found


def kernel_routes(wanted: Bridge, leases: Sequence[Lease], index: int) -> list[KernelRoute]:
    """As `routes`, on the link `index`, through the gateway of the first address of the family where none is configured."""
    gateways: dict[int, Address] = {}
    for lease in leases:
        gateways.setdefault(lease.address.version, lease.range.gateway)
    return [
        KernelRoute(
            to=route.to,
            gateway=route.gateway or gateways[route.to.version],
            index=index,
            mtu=route.mtu or 0,
            advmss=route.advmss or 0,
            priority=route.priority or 0,
            table=route.table or 0,
            scope=route.scope,
        )
        for route in routes(wanted, gateways)
    ]


def result(
    request: Request, wanted: Bridge, bridge: Link, pair: Pair, leases: Sequence[Lease], previous: Result | None
) -> Result:
    """The bridge, the host's end, the pod's end; behind what an earlier plugin has made."""
    before = previous or Result(cni_version=request.version)
    place = len(before.interfaces) + 2
    made = (
        Interface(name=bridge.name, mac=bridge.mac, mtu=bridge.mtu),
        Interface(name=pair.host.name, mac=pair.host.mac, mtu=pair.host.mtu),
        Interface(name=request.ifname, mac=pair.mac, mtu=pair.host.mtu, sandbox=request.netns),
    )
    ips = (IPConfig(address=lease.with_prefix, gateway=str(lease.range.gateway), interface=place) for lease in leases)
    own_routes = (_result_route(route) for route in routes(wanted, {lease.address.version for lease in leases}))
    return Result(
        cni_version=request.version,
        interfaces=(*before.interfaces, *made),
        ips=(*before.ips, *ips),
        routes=(*before.routes, *own_routes),
        dns=_dns(wanted.addresses.dns) or before.dns,
    )


def _result_route(route: Route) -> ResultRoute:
    return ResultRoute(
        dst=str(route.to),
        gw=str(route.gateway) if route.gateway is not None else "",
        mtu=route.mtu or 0,
        advmss=route.advmss or 0,
        priority=route.priority or 0,
        table=route.table,
        scope=route.scope,
    )


def _dns(given: Any) -> DNS | None:
    if not given:
        return None
    lists = {key: tuple(map(str, given.get(key) or ())) for key in ("nameservers", "search", "options")}
    return DNS(domain=str(given.get("domain") or ""), **lists)
