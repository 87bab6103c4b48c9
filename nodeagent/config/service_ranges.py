"""Ranges for Services, as a kube-apiserver's flags write them: `--service-cluster-ip-range`, `--service-node-port-range`."""

import ipaddress
from collections.abc import Sequence

Range = ipaddress.IPv4Network | ipaddress.IPv6Network
_LARGEST_BITS = 20  # of host part: as upstream
_SMALLEST_BITS = 3


def service_ranges(texts: Sequence[str]) -> tuple[Range, ...]:
    """One range of cluster addresses, or one of each family. Raises ValueError."""
    found = tuple(ipaddress.ip_network(text.strip()) for text in texts)
    if not 1 <= len(found) <= 2 or len({one.version for one in found}) != len(found):
        raise ValueError("one range of cluster addresses is needed, or one of each family")
    for one in found:
        bits = one.max_prefixlen - one.prefixlen
        if not _SMALLEST_BITS <= bits <= _LARGEST_BITS:
            longest, shortest = one.max_prefixlen - _SMALLEST_BITS, one.max_prefixlen - _LARGEST_BITS
            raise ValueError(f"{one}: the prefix of a range of cluster addresses is from {shortest} to {longest}")
    return found


def port_range(text: str) -> range:
    """`30000-32767`. Raises ValueError."""
    first, found, last = text.partition("-")
    if not (found and first.isdigit() and last.isdigit() and 0 < int(first) <= int(last) <= 65535):
        raise ValueError(f"{text!r} is no range of ports such as 30000-32767")
    return range(int(first), int(last) + 1)
