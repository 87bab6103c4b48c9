"""What a network's configuration means for this plugin. Pure; everything raises Failure for what is wrong in it."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cni.native.failure import Code, Failure
from cni.native.ipam import ranges
from cni.native.ipam.ranges import Address, InvalidRange, Net, RangeSet
from cni.native.request import Request
from cni.native.rules import HostPort, TransportProtocol

DATA_DIR = "/var/lib/cni/networks"
DEFAULT_BRIDGE = "cni0"
_NOTHING: tuple[object, ...] = (None, False, 0, "", [], {})
# of the bridge plugin, and not done here: who asks for one must not believe that it is
_NOT_DONE = (
    "vlan",
    "vlanTrunk",
    "macspoofchk",
    "enabledad",
    "disableContainerInterface",
    "portIsolation",
    "forceAddress",
)
_MTU_MIN, _MTU_MAX = 68, 65535
_PROTOCOLS: Mapping[str, TransportProtocol] = {"tcp": "tcp", "udp": "udp", "sctp": "sctp"}
_FAMILY_DEFAULTS = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`gateway` None: that of the range of the address of the family; the rest as in a result, None where not given."""

    to: Net
    gateway: Address | None = None
    mtu: int | None = None
    advmss: int | None = None
    priority: int | None = None
    table: int | None = None
    scope: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The `ipam` object, with what the runtime asked for laid over it."""

    data_dir: str
    sets: tuple[RangeSet, ...]
    routes: tuple[Route, ...]
    dns: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """The interface that is to be made, and the bridge that it is a port of. `mtu` 0: the kernel's choice."""

    name: str
    is_gateway: bool
    is_default_gateway: bool
    hairpin: bool
    promiscuous: bool
    mtu: int
    addresses: Addresses


def makes_interface(request: Request) -> bool:
    """Whether the plugin is the one that attaches; else it comes after another and only adds rules."""
    return "ipam" in request.config or "bridge" in request.config


def masquerades(request: Request) -> bool:
    _refuse(request.config, {"ipMasqBackend": ("", "nftables"), "backend": ("", "nftables")})
    return _flag(request.config, "ipMasq")


def bridge(request: Request) -> Bridge:
    config = request.config
    for key in _NOT_DONE:
        if config.get(key) not in _NOTHING:
            _refuse(config, {key: ()})
    hairpin, promiscuous = _flag(config, "hairpinMode"), _flag(config, "promiscMode")
    if hairpin and promiscuous:
        raise _wrong("hairpinMode and promiscMode exclude each other")
    name = config.get("bridge") or DEFAULT_BRIDGE
    if not isinstance(name, str) or not 0 < len(name) <= 15 or "/" in name or name.split() != [name]:
        raise _wrong(f"bridge {name!r} is no interface name")
    mtu = _number(config, "mtu", 0, _MTU_MAX) or 0
    if mtu and mtu < _MTU_MIN:
        raise _wrong(f"mtu {mtu} is below {_MTU_MIN}")
    default = _flag(config, "isDefaultGateway")
    return Bridge(
        name=name,
        is_gateway=default or _flag(config, "isGateway"),
        is_default_gateway=default,
        hairpin=hairpin,
        promiscuous=promiscuous,
        mtu=mtu,
        addresses=addresses(request),
    )


def addresses(request: Request) -> Addresses:
    ipam = request.mapping("ipam")
    if ipam.get("type") != "host-local":
        raise _wrong(
            f"ipam.type {ipam.get('type')!r}: this plugin keeps addresses itself, as host-local does, and asks no other"
        )
    given = list(ipam["ranges"]) if isinstance(ipam.get("ranges"), list) else []
    if ipam.get("subnet"):
        given.insert(0, [{key: ipam.get(key) for key in ("subnet", "rangeStart", "rangeEnd", "gateway")}])
    try:
        sets = ranges.parse_sets([*(request.runtime.get("ipRanges") or ()), *given])
    except (InvalidRange, TypeError) as error:
        raise _wrong(f"ipam: {error}") from error
    if not sets:
        raise _wrong("ipam: no ranges")
    data_dir = ipam.get("dataDir") or DATA_DIR
    if not isinstance(data_dir, str):
        raise _wrong("ipam.dataDir is no path")
    return Addresses(data_dir=data_dir, sets=sets, routes=_routes(ipam.get("routes") or ()), dns=_dns(request, ipam))


def host_ports(request: Request) -> tuple[HostPort, ...]:
    """Of the capability portMappings; what has no port on the host is none."""
    found = []
    mappings = request.runtime.get("portMappings") or ()
    if not isinstance(mappings, list | tuple):
        raise _wrong("runtimeConfig.portMappings is no list")
    for item in mappings:
        if not isinstance(item, dict):
            raise _wrong(f"runtimeConfig.portMappings: {item!r} is no object")
        protocol = _PROTOCOLS.get(str(item.get("protocol") or "tcp").lower())
        if protocol is None:
            raise _wrong(
                f"runtimeConfig.portMappings: protocol {item['protocol']!r} is none of {', '.join(_PROTOCOLS)}"
            )
        host_port = _number(item, "hostPort", 0, 65535) or 0
        host_ip = item.get("hostIP") or ""
        if host_ip:
            _parsed("runtimeConfig.portMappings.hostIP", host_ip)
        if host_port:
            container_port = _number(item, "containerPort", 1, 65535) or host_port
            found.append(
                HostPort(protocol=protocol, host_port=host_port, container_port=container_port, host_ip=host_ip)
            )
    return tuple(found)


def default_route(version: int) -> Net:
    return _FAMILY_DEFAULTS[version]


def _routes(items: object) -> tuple[Route, ...]:
    if not isinstance(items, list | tuple):
        raise _wrong("ipam.routes is no list")
    found = []
    for item in items:
        if not isinstance(item, dict):
            raise _wrong(f"ipam.routes: {item!r} is no object")
        try:
            to = ipaddress.ip_network(item.get("dst", ""), strict=False)
        except ValueError as error:
            raise _wrong(f"ipam.routes.dst: {error}") from error
        gateway = _parsed("ipam.routes.gw", item["gw"]) if item.get("gw") else None
        if gateway is not None and gateway.version != to.version:
            raise _wrong(f"ipam.routes: the gateway {gateway} is not of the family of {to}")
        values = {key: _number(item, key, 0, 2**32 - 1) for key in ("mtu", "advmss", "priority", "table", "scope")}
        found.append(Route(to=to, gateway=gateway, **values))
    return tuple(found)


def _dns(request: Request, ipam: Mapping[str, Any]) -> Mapping[str, Any]:
    """The capability's value, else the configuration's, else that of the file that host-local's `resolvConf` names."""
    given = request.runtime.get("dns")
    if isinstance(given, dict) and given:
        names = {"servers": "nameservers", "searches": "search", "options": "options"}
        return {to: given[key] for key, to in names.items() if given.get(key)}
    own = request.mapping("dns")
    path = ipam.get("resolvConf")
    return own if own or not path else _resolv_conf(str(path))


def _resolv_conf(path: str) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 16).splitlines()
    except OSError as error:
        raise Failure(f"ipam.resolvConf: {error}", code=Code.IO) from error
    for words in (line.split() for line in lines if line[:1] not in ("#", ";")):
        match words:
            case ["nameserver", server, *_]:
                found.setdefault("nameservers", []).append(server)
            case ["domain", domain, *_]:
                found["domain"] = domain
            case ["search", *domains]:
                found.setdefault("search", []).extend(domains)
            case ["options", *options]:
                found.setdefault("options", []).extend(options)
    return found


def _flag(config: Mapping[str, Any], key: str) -> bool:
    value = config.get(key)
    if value is not None and not isinstance(value, bool):
        raise _wrong(f"{key} {value!r} is neither true nor false")
    return bool(value)


def _number(config: Mapping[str, Any], key: str, lowest: int, highest: int) -> int | None:
    value = config.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise _wrong(f"{key} {value!r} is not a number from {lowest} to {highest}")
    return value


def _parsed(key: str, value: object) -> Address:
    try:
        return ipaddress.ip_address(str(value))
    except ValueError as error:
        raise _wrong(f"{key}: {error}") from error


def _refuse(config: Mapping[str, Any], allowed: Mapping[str, tuple[object, ...]]) -> None:
    for key, values in allowed.items():
        value = config.get(key)
        if value is not None and value not in values:
            raise Failure(f"unsupported field: {key} = {value!r}", code=Code.UNSUPPORTED_FIELD)


def _wrong(message: str) -> Failure:
    return Failure(message, code=Code.INVALID_CONFIG)
