"""What `ranges` mean, and the order of addresses."""

from ipaddress import ip_address, ip_network
from itertools import islice
from typing import Any

import pytest

from cni.native.ipam.ranges import InvalidRange, Range, candidates, holder, parse_range, parse_sets


def test_what_is_absent_is_as_large_as_the_subnet_allows() -> None:
    """The second address to the last but one; the gateway is the second. IPv6 has no broadcast address."""
    assert parse_range({"subnet": "10.1.0.0/24"}) == Range(
        ip_network("10.1.0.0/24"), ip_address("10.1.0.1"), ip_address("10.1.0.254"), ip_address("10.1.0.1")
    )
    assert parse_range({"subnet": "fd00::/120"}).last == ip_address("fd00::ff")


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({}, "lists of lists"),
        ([[]], "without a range"),
        ([[{}]], "needs a subnet"),
        ([[{"subnet": "10.1.0.1/24"}]], "has host bits set"),
        ([[{"subnet": "10.1.0.0/31"}]], "too small"),
        ([[{"subnet": "fd00::/127"}]], "too small"),
        ([[{"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.1"}]], r"rangeStart 10\.2\.0\.1 is not in"),
        ([[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.3"}]], "is empty"),
        ([[{"subnet": "10.1.0.0/24", "gateway": "fd00::1"}]], "not of the family"),
        ([[{"subnet": "10.1.0.0/24"}, {"subnet": "fd00::/64"}]], "both families"),
        ([[{"subnet": "10.1.0.0/16"}], [{"subnet": "10.1.2.0/24"}]], "of two sets overlap"),
        ([[{"subnet": "10.1.0.0/16"}, {"subnet": "10.1.2.0/24"}]], "of one set overlap"),
    ],
)
def test_ranges_that_cannot_be(ranges: Any, message: str) -> None:
    """Each is refused in words that say which."""
    with pytest.raises(InvalidRange, match=message):
        parse_sets(ranges)


def order(last: str | None, *ranges: dict[str, str]) -> list[str]:
    (found,) = parse_sets([list(ranges)])
    return [str(address) for address, _ in candidates(found, ip_address(last) if last else None)]


def test_the_order_is_round_robin() -> None:
    """From the one behind the last, over all ranges of the set, every address once, the gateway never."""
    first, second = {"subnet": "10.1.0.0/29"}, {"subnet": "10.2.0.0/30", "gateway": "10.2.0.2"}
    assert order(None, first) == [f"10.1.0.{n}" for n in (2, 3, 4, 5, 6)]
    assert order("10.1.0.4", first, second) == [
        *("10.1.0.5", "10.1.0.6", "10.2.0.1"),
        *("10.1.0.2", "10.1.0.3", "10.1.0.4"),
    ]
    assert order("10.9.9.9", first) == order(None, first)


def test_a_large_range_is_not_walked_through() -> None:
    """Of a /64 the next address is at hand."""
    (found,) = parse_sets([[{"subnet": "fd00::/64"}]])
    assert [str(address) for address, _ in islice(candidates(found, None), 2)] == ["fd00::2", "fd00::3"]
    assert holder(found, ip_address("10.1.0.5")) is None
