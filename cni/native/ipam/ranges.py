"""Ranges of addresses: what a configuration's `ranges` mean, and which address is next. Pure."""

import ipaddress
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, NamedTuple

Address = IPv4Address | IPv6Address
Net = IPv4Network | IPv6Network


class InvalidRange(ValueError):
    """A range that cannot be one; the text says which and why."""


class Range(NamedTuple):
    """From `first` to `last`, both included, without the gateway, which is never handed out."""

    network: Net
    first: Address
    last: Address
    gateway: Address

    def has(self, address: Address) -> bool:
        return address.version == self.network.version and int(self.first) <= int(address) <= int(self.last)

    def overlaps(self, other: "Range") -> bool:
        return self.has(other.first) or other.has(self.first)

    @property
    def text(self) -> str:
        return f"{self.first}-{self.last}"


RangeSet = tuple[Range, ...]
"""Ranges of one family, of which a pod gets one address."""


def parse_sets(ranges: object) -> tuple[RangeSet, ...]:
    """`[[{subnet, rangeStart, rangeEnd, gateway}]]`. Raises InvalidRange."""
    if not isinstance(ranges, list) or not all(isinstance(item, list) for item in ranges):
        raise InvalidRange("ranges are lists of lists")
    sets = tuple(_parse_set(item) for item in ranges)
    everything = [(found, number) for number, item in enumerate(sets) for found in item]
    for place, (one, its_set) in enumerate(everything):
        for other, other_set in everything[place + 1 :]:
            if one.overlaps(other):
                where = "one set" if its_set == other_set else "two sets"
                raise InvalidRange(f"the ranges {one.text} and {other.text} of {where} overlap")
    return sets


def _parse_set(items: list[Any]) -> RangeSet:
    if not items:
        raise InvalidRange("a set without a range")
    found = tuple(parse_range(item) for item in items)
    if len({item.network.version for item in found}) > 1:
        raise InvalidRange("a set has ranges of both families")
    return found


def parse_range(item: object) -> Range:
    """One range; what is absent is as large as the subnet allows. Raises InvalidRange."""
    if not isinstance(item, dict) or not isinstance(item.get("subnet"), str):
        raise InvalidRange("a range needs a subnet")
    try:
        network = ipaddress.ip_network(item["subnet"])
        given = {
            name: ipaddress.ip_address(item[name]) for name in ("rangeStart", "rangeEnd", "gateway") if item.get(name)
        }
    except ValueError as error:
        raise InvalidRange(str(error)) from error
    if network.num_addresses < 4:
        raise InvalidRange(f"subnet {network} is too small to allocate from")
    lowest = network.network_address + 1
    highest = network.broadcast_address - 1 if network.version == 4 else network.broadcast_address
    for name in ("rangeStart", "rangeEnd"):
        if name in given and given[name] not in network:
            raise InvalidRange(f"{name} {given[name]} is not in {network}")
    found = Range(
        network, given.get("rangeStart", lowest), given.get("rangeEnd", highest), given.get("gateway", lowest)
    )
    if found.gateway.version != network.version:
        raise InvalidRange(f"gateway {found.gateway} is not of the family of {network}")
    if int(found.first) > int(found.last):
        raise InvalidRange(f"the range {found.text} is empty")
    return found


def holder(range_set: RangeSet, address: Address) -> Range | None:
    """The range of the set that an address is in."""
    return next((item for item in range_set if item.has(address)), None)


def candidates(range_set: RangeSet, last: Address | None) -> Iterator[tuple[Address, Range]]:
    """Every address once, round robin: from the one behind `last` on, which comes last itself."""
    at = next((place for place, item in enumerate(range_set) if last is not None and item.has(last)), None)
    if at is None or last is None:
        for item in range_set:
            yield from _between(item, item.first, item.last)
        return
    begun = range_set[at]
    yield from _between(begun, last + 1, begun.last)
    for item in (*range_set[at + 1 :], *range_set[:at]):
        yield from _between(item, item.first, item.last)
    yield from _between(begun, begun.first, last)


def _between(item: Range, first: Address, last: Address) -> Iterator[tuple[Address, Range]]:
    make, gateway = type(item.first), int(item.gateway)
    for value in range(int(first), int(last) + 1):
        if value != gateway:
            yield make(value), item


def names(range_sets: Sequence[RangeSet]) -> str:
    """For messages."""
    return "; ".join(", ".join(one.text for one in item) for item in range_sets)
