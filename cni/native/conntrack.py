"""Connections that the kernel remembers, forgotten when a UDP port leads elsewhere (linux/netfilter/nfnetlink_conntrack.h).

Rules of NAT are asked for a connection's first packet only. A client that keeps sending UDP from one port would reach
the old pod, or nobody, for as long as it goes on.
"""

import errno
import socket
import sys
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import ip_address

from cni.native.attributes import attribute, nest, parse
from cni.native.nftables.errors import NftablesError
from cni.native.nftables.kernel import Netfilter
from cni.native.nftables.messages import Message

_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2  # in NFNL_SUBSYS_CTNETLINK
_ORIGINAL, _REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_NUMBER, _DESTINATION_PORT = 1, 3
_UDP = 17
_FILTER_PROTOCOL, _FILTER_DESTINATION_PORT = 1 << 3, 1 << 5
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@dataclass(frozen=True, slots=True)
class Connection:
    """One UDP connection as it came (`source` → `destination`:port) and as its answers come back."""

    source: str
    destination: str
    answers_from: str
    answers_to: str

    @property
    def was_redirected(self) -> bool:
        return self.answers_from != self.destination

    @property
    def was_masqueraded(self) -> bool:
        return self.answers_to != self.source


def answered_by(addresses: AbstractSet[str]) -> Callable[[Connection], bool]:
    """Whether a connection leads to one of these addresses."""
    return lambda found: found.answers_from in addresses


def forget_udp(
    kernel: Netfilter, port: int, is_stale: Callable[[Connection], bool], *, versions: Collection[int] = (4, 6)
) -> None:
    """Forget the UDP connections that were made to `port`, whoever had it, and are stale. Raises NftablesError."""
    for family in (_FAMILIES[version] for version in versions):
        for body in kernel.dump(_question(port, family)):
            found = parse(body)
            if (connection := _read(found, port)) is not None and is_stale(connection):
                _delete(kernel, found, family)


def _question(port: int, family: int) -> Message:
    """Ask for the UDP connections to one port. Kernels before 5.8 tell all that they have: `_read` looks again."""
    protocol = nest(
        _TUPLE_PROTOCOL, attribute(_NUMBER, bytes([_UDP])), attribute(_DESTINATION_PORT, port.to_bytes(2, "big"))
    )
    wanted = _FILTER_PROTOCOL | _FILTER_DESTINATION_PORT
    flags = attribute(1, wanted.to_bytes(4, sys.byteorder)), attribute(2, bytes(4))
    body = nest(_ORIGINAL, protocol) + nest(_FILTER, *flags)
    return Message(_GET, 0, body, f"connections to UDP port {port}", family)


def _delete(kernel: Netfilter, found: dict[int, bytes], family: int) -> None:
    body = b"".join(attribute(kind, found[kind]) for kind in (_ID, _ZONE) if kind in found)
    body += nest(_ORIGINAL, found[_ORIGINAL])
    try:
        kernel.request(Message(_DELETE, 0, body, "connection", family))
    except NftablesError as error:
        if error.errno != errno.ENOENT:
            raise


def _read(found: dict[int, bytes], port: int) -> Connection | None:
    original, reply = parse(found[_ORIGINAL]), parse(found[_REPLY])
    protocol = parse(original[_TUPLE_PROTOCOL])
    if protocol.get(_NUMBER) != bytes([_UDP]) or protocol.get(_DESTINATION_PORT) != port.to_bytes(2, "big"):
        return None
    ends = [str(ip_address(raw)) for item in (original, reply) for raw in parse(item[_TUPLE_IP]).values()]
    return Connection(*ends)
