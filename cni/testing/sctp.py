"""The first packet of an SCTP association, by raw sockets: what forwards it needs SCTP, who sends it and sees it does not."""

import asyncio
import socket
import struct
from pathlib import Path

from cni.testing.traffic import DEADLINE_SECONDS
from runtimes.linux import syscalls

_PORT = 4000
_AGAIN_SECONDS = 1.0
_TRACKED = Path("/proc/sys/net/netfilter/nf_conntrack_sctp_timeout_closed")
_CASTAGNOLI = 0x82F63B78


def is_tracked() -> bool:
    """Whether the kernel follows associations, without which there is no translation of addresses."""
    return _TRACKED.exists()


def send_init(namespace: Path, address: str, port: int) -> None:
    """Send it, with the checksum that connection tracking asks for. Raises OSError."""
    chunk = struct.pack(">BBHIIHHI", 1, 0, 20, 0x1234, 65536, 1, 1, 0x5678)  # RFC 9260, 3.3.2
    packet = struct.pack(">HHII", _PORT, port, 0, 0) + chunk
    checksum = struct.pack("<I", _crc32c(packet))
    with _raw(namespace, of_ipv6=":" in address) as client:
        client.sendto(packet[:8] + checksum + packet[12:], (address, 0))


async def port_reached(sender: Path, address: str, port: int, receiver: Path) -> int:
    """Send it from one namespace until it arrives in the other, as an end would (RFC 9260, 5.1); the port that it comes to.

    Raises TimeoutError, OSError.
    """
    of_ipv6 = ":" in address
    with _raw(receiver, of_ipv6=of_ipv6) as server:
        server.setblocking(False)
        async with asyncio.timeout(DEADLINE_SECONDS):
            arrival = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(server, 1500))
            try:
                while not arrival.done():
                    send_init(sender, address, port)
                    await asyncio.wait({arrival}, timeout=_AGAIN_SECONDS)
                packet = arrival.result()
            finally:
                arrival.cancel()
                await asyncio.gather(arrival, return_exceptions=True)
    header = 0 if of_ipv6 else (packet[0] & 15) * 4
    return int.from_bytes(packet[header + 2 : header + 4], "big")


def _raw(namespace: Path, *, of_ipv6: bool) -> socket.socket:
    family = socket.AF_INET6 if of_ipv6 else socket.AF_INET
    return syscalls.in_namespace(namespace, lambda: socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_SCTP))


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
    return value ^ 0xFFFFFFFF
