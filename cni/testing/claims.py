"""What a configuration asks for: a check is skipped for what nobody asked for, not for what a plugin forgot to give. Pure."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

import pytest

from cni.config import NetworkConfig

_C = TypeVar("_C", bound=Collection[object])


def found(things: _C, what: str, *, claimed: bool) -> _C:
    """The things, if there are any; none at all fails the check where they are claimed, and skips it where not."""
    if not things:
        assert not claimed, f"the configuration asks for {what}, and there are none"
        pytest.skip(f"not claimed: the network gives no {what}")
    return things


def addresses(config: NetworkConfig) -> bool:
    """Whether a plugin is to ask for addresses. Others may give some without being told."""
    return any(True for _ in _ipams(config))


def ipv6(config: NetworkConfig) -> bool:
    """Whether a range of addresses is of IPv6."""
    return any(":" in subnet for ipam in _ipams(config) for subnet in _subnets(ipam))


def routes(config: NetworkConfig) -> bool:
    return any(ipam.get("routes") for ipam in _ipams(config))


def source_nat(config: NetworkConfig) -> bool:
    """Whether who comes to a port of the host by an address that only he has is given another one: option `snat`."""
    return all(plugin.raw.get("snat", True) for plugin in config.plugins)


def not_led_back(config: NetworkConfig) -> str:
    """Why what a pod sends to a port of the host that leads to itself need not arrive (docs/facts/network.md 7.2); or ""."""
    if not source_nat(config):
        return "snat is turned off"
    modes = [plugin.raw.get("hairpinMode", plugin.type != "bridge") for plugin in config.plugins]
    return "" if all(modes) else "the bridge has no hairpinMode"


def _ipams(config: NetworkConfig) -> Iterator[Mapping[str, Any]]:
    for plugin in config.plugins:
        ipam = plugin.raw.get("ipam")
        if isinstance(ipam, dict) and ipam.get("type"):
            yield ipam


def _subnets(ipam: Mapping[str, Any]) -> list[str]:
    """As host-local has them."""
    ranges = [one for choices in ipam.get("ranges") or () for one in choices]
    return [str(one.get("subnet") or "") for one in (ipam, *ranges)]
