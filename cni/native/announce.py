"""Tell the other pods of a bridge who has an address now: one that had it lately is still in their neighbour tables."""

import socket
import struct
import threading
from collections.abc import Sequence
from ipaddress import IPv6Address

from cni.native.ipam.ranges import Address

_EVERYBODY = b"\xff" * 6
_ALL_NODES = IPv6Address("ff02::1")
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_NEIGHBOUR_ADVERTISEMENT, _OVERRIDE, _TARGET_MAC = 136, 0x20000000, 2
_ICMPV6 = 58


class Announcer:
    """Sends from the host's side of bridges. Threads may share one; its socket stays, since closing one takes the kernel long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def announce(self, bridge: str, mac: bytes, addresses: Sequence[Address]) -> None:
        """Best effort: what cannot be told is found out by the others in a while. Raises OSError."""
        with self._lock:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        for address in addresses:
            self._socket.sendto(frame(mac, address), (bridge, 0))


def frame(mac: bytes, address: Address) -> bytes:
    """An ARP announcement (RFC 5227, 2.3), or an unsolicited neighbour advertisement (RFC 4861, 7.2.6)."""
    if isinstance(address, IPv6Address):
        return _ALL_NODES_MAC + mac + b"\x86\xdd" + _advertisement(mac, address)
    packed = address.packed
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + packed + bytes(6) + packed
    return _EVERYBODY + mac + b"\x08\x06" + arp


def _advertisement(mac: bytes, address: IPv6Address) -> bytes:
    body = struct.pack("!I", _OVERRIDE) + address.packed + bytes((_TARGET_MAC, 1)) + mac
    length = 4 + len(body)
    pseudo = address.packed + _ALL_NODES.packed + struct.pack("!II", length, _ICMPV6)
    checksum = _checksum(pseudo + bytes((_NEIGHBOUR_ADVERTISEMENT, 0, 0, 0)) + body)
    header = struct.pack("!IHBB", 6 << 28, length, _ICMPV6, 255) + address.packed + _ALL_NODES.packed
    return header + struct.pack("!BBH", _NEIGHBOUR_ADVERTISEMENT, 0, checksum) + body


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
