"""Limits of bandwidth: whether this kernel has them, who has one, and how much really comes through."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from runtimes.linux import syscalls

RATE_BITS: Final = 4_000_000
BURST_BITS: Final = 160_000
LIMITS: Final = {
    "ingressRate": RATE_BITS,
    "ingressBurst": BURST_BITS,
    "egressRate": RATE_BITS,
    "egressBurst": BURST_BITS,
}
_PAYLOAD_BYTES = 1000
_HEADERS_BYTES = {socket.AF_INET: 14 + 20 + 8, socket.AF_INET6: 14 + 40 + 8}
_OFFERED = 2  # times the limit
_SECONDS = 1.5
_TICK_SECONDS = 0.005
_WINDOW_SECONDS = 0.25
_TIMESTAMPS = 35  # SO_TIMESTAMPNS: the kernel's time of arrival, so that a slow reader does not matter
_TOLERATED_BELOW, _TOLERATED_ABOVE = 0.8, 1.1
_LIMITER = "tbf"


def lacks() -> str:
    """What this kernel has not that limits need; empty where it has all. Blocks. Call it in a namespace for the trial."""
    try:
        with IPRoute() as route:
            route.link("add", ifname="natest-ifb", kind="ifb")
            index = route.link_lookup(ifname="natest-ifb")[0]
            try:
                route.tc("add", _LIMITER, index, rate=RATE_BITS // 8, burst=BURST_BITS // 8, latency="25ms")
            finally:
                route.link("del", index=index)
    except NetlinkError as error:
        return f"ifb or sch_{_LIMITER} ({error})"
    return ""


def limited() -> list[str]:
    """Names of the interfaces of the calling thread's namespace that limit what they send."""
    with IPRoute() as route:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in route.get_links()}
        found = [item["index"] for item in route.get_qdiscs() if item.get_attr("TCA_KIND") == _LIMITER]
    return sorted(names[index] for index in found)


def unlimit(ifname: str) -> None:
    with IPRoute() as route:
        route.tc("del", index=route.link_lookup(ifname=ifname)[0], root=True)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When packets came, in seconds of the kernel's clock, in order. `packet_bytes`: the size of each, with all headers."""

    seconds: Sequence[float]
    packet_bytes: int

    def judge(self) -> str:
        """What is wrong with them under a limit of RATE_BITS, of which more was offered; empty for nothing.

        Never more than the limit and one burst in all; of all stretches, the fastest comes near it. A machine that is busy
        elsewhere makes others slower.
        """
        if len(self.seconds) < 2:
            return "nothing has arrived"
        size = self.packet_bytes * 8
        most = (RATE_BITS * (self.seconds[-1] - self.seconds[0]) + BURST_BITS) * _TOLERATED_ABOVE
        if len(self.seconds) * size > most:
            return f"{len(self.seconds) * size} bits have arrived, where {most:.0f} may"
        late = [moment for moment in self.seconds if moment - self.seconds[0] > _WINDOW_SECONDS]
        best = max((sum(1 for other in late if 0 <= other - moment < _WINDOW_SECONDS) for moment in late), default=0)
        if best * size < RATE_BITS * _WINDOW_SECONDS * _TOLERATED_BELOW:
            return f"at most {best * size / _WINDOW_SECONDS:.0f} bits a second have arrived of {RATE_BITS}"
        return ""


async def flow(sender: Path, receiver: Path, address: str, port: int) -> Arrivals:
    """Send twice the limit in datagrams for a while, and tell what has arrived. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    loop, arrived = asyncio.get_running_loop(), list[float]()
    with contextlib.closing(_socket(receiver, family)) as there, contextlib.closing(_socket(sender, family)) as here:
        there.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
        there.bind(("", port))

        def note() -> None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    _, extra, _, _ = there.recvmsg(2048, 128)
                    whole, parts = struct.unpack("qq", extra[0][2])
                    arrived.append(whole + parts / 1e9)

        loop.add_reader(there, note)
        try:
            size, began, sent = _PAYLOAD_BYTES + _HEADERS_BYTES[family], loop.time(), 0
            while (elapsed := loop.time() - began) < _SECONDS:
                while sent * size * 8 < RATE_BITS * _OFFERED * elapsed:
                    with contextlib.suppress(BlockingIOError):
                        here.sendto(bytes(_PAYLOAD_BYTES), (address, port))
                    sent += 1
                await asyncio.sleep(_TICK_SECONDS)
        finally:
            loop.remove_reader(there)
    return Arrivals(arrived, size)


def _socket(namespace: Path, family: socket.AddressFamily) -> socket.socket:
    made = syscalls.in_namespace(namespace, lambda: socket.socket(family, socket.SOCK_DGRAM))
    made.setblocking(False)
    return made
