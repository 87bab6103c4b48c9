"""The first packet of an SCTP association, by raw sockets: what forwards it needs SCTP, who sends it and sees it does not."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from cni.testing.traffic import DEADLINE_SECONDS
from runtimes.linux import syscalls

_PORT = 4000
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


@contextlib.asynccontextmanager
async def arrivals(namespace: Path, *, of_ipv6: bool) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """A function that waits for a packet in the namespace and tells the port that it came to. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    with _raw(namespace, of_ipv6=of_ipv6) as server:
        server.setblocking(False)

        async def wait() -> int:
            async with asyncio.timeout(DEADLINE_SECONDS):
                packet = await loop.sock_recv(server, 1500)
            header = 0 if of_ipv6 else (packet[0] & 15) * 4
            return int.from_bytes(packet[header + 2 : header + 4], "big")

        yield wait


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
