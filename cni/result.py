"""Results of ADD: one typed shape in memory, every version of the specification on the wire.

In memory a result has the shape of version 1.1.0 whatever it was decoded from; `cni_version` remembers the wire version.
`decode` reads any version, `Result.to_wire` writes any, so a conversion is the one after the other and loses
what the target version cannot say.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from cni import version
from cni.errors import BadOutput, NotSupported
from runtimes.kube.json_errors import UNREADABLE

_LEGACY = ("0.1.0", "0.2.0")  # ip4 and ip6 instead of lists
_FAMILY_IN_IPS = ("0.3.0", "0.3.1", "0.4.0")  # ips[].version
_NEW_IN_1_1 = {
    "interfaces": ("mtu", "socketPath", "pciID"),
    "routes": ("mtu", "advmss", "priority", "table", "scope"),
}


class Interface(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A link that the plugins made. `sandbox` is the namespace's path, empty for a link on the host."""

    name: str
    mac: str = ""
    mtu: int = 0
    sandbox: str = ""
    socket_path: str = msgspec.field(name="socketPath", default="")
    pci_id: str = msgspec.field(name="pciID", default="")


class IPConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`address` is the host's address with the prefix length ("10.1.0.5/16"), `interface` an index into `interfaces`."""

    address: str
    gateway: str = ""
    interface: int | None = None


class Route(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`dst` is a network, `gw` empty for the gateway of the address of that family. `mtu` and `advmss` in bytes."""

    dst: str
    gw: str = ""
    mtu: int = 0
    advmss: int = 0
    priority: int = 0
    table: int | None = None
    scope: int | None = None


class DNS(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    cni_version: str = msgspec.field(name="cniVersion")
    interfaces: tuple[Interface, ...] = ()
    ips: tuple[IPConfig, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: DNS = DNS()

    def pod_ips(self, ifname: str = "eth0") -> tuple[str, ...]:
        """The addresses of `ifname` in the sandbox, without prefix length, in the plugins' order.

        An address that names no interface, or one that the result does not list, counts: old versions and L3 plugins
        leave it out.
        """
        return tuple(ip.address.partition("/")[0] for ip in self.ips if self._may_be_on(ip, ifname))

    def _may_be_on(self, ip: IPConfig, ifname: str) -> bool:
        if ip.interface is None or not 0 <= ip.interface < len(self.interfaces):
            return True
        interface = self.interfaces[ip.interface]
        return bool(interface.sandbox) and interface.name == ifname

    def to_wire(self, wire_version: str = "") -> dict[str, Any]:
        """The JSON object of this result in `wire_version`, by default its own.

        Raises NotSupported where a result without an address is to become one of 0.1.0 or 0.2.0.
        """
        wire_version = wire_version or self.cni_version
        if wire_version in _LEGACY:
            return _to_legacy(self, wire_version)
        wire: dict[str, Any] = {**msgspec.to_builtins(self), "cniVersion": wire_version}
        wire.setdefault("dns", {})
        if wire_version in _FAMILY_IN_IPS:
            for ip in wire.get("ips", ()):
                ip["version"] = "6" if ":" in ip["address"] else "4"
        if wire_version != version.CURRENT:
            for key, names in _NEW_IN_1_1.items():
                for item in wire.get(key, ()):
                    for name in names:
                        item.pop(name, None)
        return wire


def encode(result: "Result", wire_version: str) -> dict[str, Any]:
    """The same as `Result.to_wire`."""
    return result.to_wire(wire_version)


def decode(data: Any, default_version: str) -> Result:
    """Read what a plugin printed, or the JSON value of it; `default_version` counts where it does not say one.

    Raises BadOutput, which tells the place of the mistake.
    """
    if not isinstance(data, bytes):
        return from_wire(dict(data) if isinstance(data, Mapping) else data, default_version)
    try:
        wire = msgspec.json.decode(data)
    except UNREADABLE as error:
        raise BadOutput(f"the result is not JSON: {error}", details=excerpt(data)) from error
    return from_wire(wire, default_version)


def from_wire(wire: object, default_version: str) -> Result:
    """The same for a JSON value that is decoded already."""
    if not isinstance(wire, dict):
        raise BadOutput("the result is not a JSON object", details=excerpt(str(wire).encode()))
    found = wire.get("cniVersion") or default_version
    if not isinstance(found, str) or not version.is_known(found):
        raise BadOutput(f"the result has the unknown version {found!r}")
    try:
        plain = _without_nulls(wire)
        plain["cniVersion"] = found
        result = _from_legacy(plain) if found in _LEGACY else msgspec.convert(plain, Result)
        _check_addresses(result)
    except (msgspec.ValidationError, ValueError) as error:
        raise BadOutput(f"the result breaks the rules of version {found}: {error}") from error
    return result


def excerpt(data: bytes, limit: int = 1024) -> str:
    """The beginning of foreign output, fit for a message."""
    text = data[: limit + 1].decode(errors="replace").strip()
    return text if len(text) <= limit else text[:limit] + "…"


def _without_nulls(value: Any) -> Any:
    """Drop members that are null: encoders of some languages write them for what is absent."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value


def _check_addresses(result: Result) -> None:
    for place, ip in enumerate(result.ips):
        _check_prefixed(f"ips[{place}].address", ip.address)
        if ip.gateway:
            ipaddress.ip_address(ip.gateway)
    for place, route in enumerate(result.routes):
        _check_prefixed(f"routes[{place}].dst", route.dst)
        if route.gw:
            ipaddress.ip_address(route.gw)


def _check_prefixed(field: str, text: str) -> None:
    # ip_interface would also take a bare address or a netmask, which no CNI program can read.
    if not text.partition("/")[2].isdecimal():
        raise ValueError(f"{field}: {text!r} is not an address with a prefix length")
    try:
        ipaddress.ip_interface(text)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


class _LegacyIP(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    ip: str
    gateway: str = ""
    routes: tuple[Route, ...] = ()


class _LegacyResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    cni_version: str = msgspec.field(name="cniVersion")
    ip4: _LegacyIP | None = None
    ip6: _LegacyIP | None = None
    dns: DNS = DNS()


def _from_legacy(wire: dict[str, Any]) -> Result:
    old = msgspec.convert(wire, _LegacyResult)
    present = [entry for entry in (old.ip4, old.ip6) if entry is not None]
    return Result(
        cni_version=old.cni_version,
        ips=tuple(IPConfig(address=entry.ip, gateway=entry.gateway) for entry in present),
        routes=tuple(route for entry in present for route in entry.routes),
        dns=old.dns,
    )


def _to_legacy(result: Result, wire_version: str) -> dict[str, Any]:
    # A plugin that speaks 0.2.0 may have no address to report; a newer result without one has no legacy form.
    if not result.ips and result.cni_version not in _LEGACY:
        raise NotSupported(f"a result without an IP address cannot be converted to version {wire_version}")
    old = _LegacyResult(
        cni_version=wire_version,
        ip4=_legacy_ip(result, ipv6=False),
        ip6=_legacy_ip(result, ipv6=True),
        dns=result.dns,
    )
    wire: dict[str, Any] = msgspec.to_builtins(old)
    wire.setdefault("dns", {})
    return wire


def _legacy_ip(result: Result, *, ipv6: bool) -> _LegacyIP | None:
    first = next(_of_family(result.ips, ipv6), None)
    if first is None:
        return None
    routes = tuple(Route(dst=route.dst, gw=route.gw) for route in result.routes if (":" in route.dst) == ipv6)
    return _LegacyIP(ip=first.address, gateway=first.gateway, routes=routes)


def _of_family(ips: Iterable[IPConfig], ipv6: bool) -> Iterator[IPConfig]:
    return (ip for ip in ips if (":" in ip.address) == ipv6)
