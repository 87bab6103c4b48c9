"""A host, pods on its bridge and a machine outside, each a network namespace; real packets between them."""

import contextlib
import json
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, TypeVar

from cni.native.rules import HostPort, PodRules
from runtimes.linux import syscalls

T = TypeVar("T")

HOST = ("192.0.2.1", "2001:db8::1")
OUTSIDE = ("192.0.2.2", "2001:db8::2")
GATEWAY = ("10.90.0.1", "fd90::1")
NETWORK = "packets"
BRIDGE = "br0"
ANSWER_SECONDS = 3.0  # for what is to arrive
SILENCE_SECONDS = 0.3  # for what is to arrive nowhere


@dataclass(slots=True)
class Place:
    """One network namespace."""

    path: Path

    def create(self, *switched_on: str) -> None:
        """With its loopback up, and these settings of the network switched on."""

        def inside() -> None:
            for name in switched_on:
                Path("/proc/sys/net", name).write_text("1")

        syscalls.pin_namespaces({syscalls.CLONE_NEWNET: self.path}, inside)
        self.ip("link set lo up")

    def run(self, function: Callable[[], T]) -> T:
        return syscalls.in_namespace(self.path, function)

    def ip(self, *lines: str) -> None:
        self.command("ip", "-batch", "-", text="\n".join(lines) + "\n")

    def command(self, *argv: str, text: str = "") -> str:
        whole = ("nsenter", f"--net={self.path}", *argv)
        done = subprocess.run(whole, input=text, check=False, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{argv} {text}: {done.stderr}"
        return done.stdout


@dataclass(slots=True)
class PodPlace(Place):
    """A pod at number `number`: 10.90.0.N and fd90::N."""

    number: int

    def rules(self, *ports: HostPort, masquerade: bool = True, container_id: str = "") -> PodRules:
        return PodRules(
            network=NETWORK,
            container_id=container_id or f"pod{self.number}",
            ifname="eth0",
            bridge=BRIDGE,
            addresses=tuple(ip_interface(text) for text in self.addresses),
            masquerade=masquerade,
            host_ports=ports,
        )

    @property
    def addresses(self) -> tuple[str, str]:
        return f"10.90.0.{self.number}/24", f"fd90::{self.number}/64"

    @property
    def ip4(self) -> str:
        return f"10.90.0.{self.number}"

    @property
    def ip6(self) -> str:
        return f"fd90::{self.number}"


@dataclass(slots=True)
class World:
    """The host in the middle, the machine outside, the pods."""

    folder: Path
    host: Place
    outside: Place
    pods: list[PodPlace] = field(default_factory=list)

    def pod(self) -> PodPlace:
        """One more pod on the bridge."""
        number = len(self.pods) + 5
        pod = PodPlace(self.folder / f"pod{number}", number)
        pod.create()
        self.pods.append(pod)
        self.host.ip(f"link add veth{number} type veth peer name eth0 netns {pod.path}")
        self.host.ip(f"link set veth{number} master {BRIDGE} up", f"link set veth{number} type bridge_slave hairpin on")
        pod.ip("link set eth0 up", *(f"addr add {address} dev eth0 nodad" for address in pod.addresses))
        pod.ip(f"route add default via {GATEWAY[0]}", f"route add default via {GATEWAY[1]}")
        return pod

    def ruleset(self, table: str = "inet nodeagent") -> dict[str, Any]:
        """What `nft` says of a table: sets by their names with their elements, chains with the comments of their rules."""
        listed = json.loads(self.host.command("nft", "--json", "list", "table", *table.split()))["nftables"]
        found: dict[str, Any] = {}
        for item in listed:
            (kind, what), *_ = item.items()
            if kind in ("set", "map"):
                found[what["name"]] = [_plain(element) for element in what.get("elem", [])]
            elif kind == "chain":
                found[what["name"]] = []
            elif kind == "rule":
                found[what["chain"]].append(what.get("comment"))
        return found


def _plain(element: Any) -> Any:
    """An element of `nft --json` without its wrapping: [key, comment] or [key, comment, value]."""
    key, *value = element if isinstance(element, list) else [element]
    if isinstance(key, dict) and "elem" in key:
        key, comment = key["elem"]["val"], key["elem"].get("comment")
    else:
        comment = None
    return [_concatenated(key), comment, *map(_concatenated, value)]


def _concatenated(value: Any) -> Any:
    return value["concat"] if isinstance(value, dict) and "concat" in value else value


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """The host routes between its bridge and the outside; the outside knows no way to the pods."""
    made = World(folder, Place(folder / "host"), Place(folder / "outside"))
    try:
        made.host.create("ipv4/ip_forward", "ipv6/conf/all/forwarding")
        made.outside.create()
        made.host.ip(
            f"link add {BRIDGE} type bridge",
            f"link set {BRIDGE} up",
            f"link add out0 type veth peer name eth0 netns {made.outside.path}",
            "link set out0 up",
            *(f"addr add {address} dev {BRIDGE} nodad" for address in (f"{GATEWAY[0]}/24", f"{GATEWAY[1]}/64")),
            *(f"addr add {address} dev out0 nodad" for address in (f"{HOST[0]}/24", f"{HOST[1]}/64")),
        )
        made.outside.ip(
            "link set eth0 up",
            *(f"addr add {address} dev eth0 nodad" for address in (f"{OUTSIDE[0]}/24", f"{OUTSIDE[1]}/64")),
        )
        yield made
    finally:
        for place in (*made.pods, made.outside, made.host):
            syscalls.unpin_namespace(place.path)


@contextlib.contextmanager
def listening(place: Place, protocol: str, port: int, name: str, family: int = socket.AF_INET6) -> Iterator[None]:
    """A server on all addresses of the place that answers everybody with its name and the address that it sees."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM

    def make() -> socket.socket:
        made = socket.socket(family, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("", port))
        if protocol == "tcp":
            made.listen()
        return made

    server = place.run(make)
    thread = threading.Thread(target=_serve, args=(server, protocol, name), daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # wakes the thread
        server.close()
        thread.join(timeout=5)


def _serve(server: socket.socket, protocol: str, name: str) -> None:
    while True:
        try:
            if protocol == "tcp":
                connection, peer = server.accept()
                with connection:
                    connection.sendall(_seen(name, peer))
            else:
                data, peer = server.recvfrom(100)
                if not data and not peer:
                    return
                server.sendto(_seen(name, peer), peer)
        except OSError:
            return


def _seen(name: str, peer: Any) -> bytes:
    return f"{name} {str(peer[0]).removeprefix('::ffff:')}".encode()


def ask(place: Place, protocol: str, address: str, port: int) -> tuple[str, str]:
    """(who answered, from which address it saw us). Raises OSError when nobody does."""
    with client(place, protocol, address) as made:
        made.settimeout(ANSWER_SECONDS)
        return exchange(made, address, port)


def is_silent(place: Place, protocol: str, address: str, port: int) -> bool:
    """Whether nobody answers: refused, unreachable or nothing for a while."""
    with client(place, protocol, address) as made:
        made.settimeout(SILENCE_SECONDS)
        try:
            exchange(made, address, port)
        except OSError:
            return True
        return False


def client(place: Place, protocol: str, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return place.run(lambda: socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM))


def exchange(made: socket.socket, address: str, port: int) -> tuple[str, str]:
    if made.type == socket.SOCK_STREAM:
        made.connect((address, port))
    else:
        made.sendto(b"?", (address, port))
    answer = made.recv(100).decode()
    if not answer:
        raise ConnectionError("nothing was said")
    name, _, seen = answer.partition(" ")
    return name, seen


def send_sctp_init(place: Place, address: str, port: int) -> None:
    """The first packet of an SCTP association, with a checksum that connection tracking accepts."""
    chunk = struct.pack(">BBHIIHHI", 1, 0, 20, 0x1234, 65536, 1, 1, 0x5678)
    packet = struct.pack(">HHII", 4000, port, 0, 0) + chunk
    checksum = struct.pack("<I", _crc32c(packet))
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with place.run(lambda: socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_SCTP)) as made:
        made.sendto(packet[:8] + checksum + packet[12:], (address, 0))


@contextlib.contextmanager
def sctp_arrivals(place: Place, family: int) -> Iterator[Callable[[], int]]:
    """A function that waits for an SCTP packet and returns the port that it came to."""
    with place.run(lambda: socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_SCTP)) as made:
        made.settimeout(ANSWER_SECONDS)

        def wait() -> int:
            data = made.recv(200)
            if family == socket.AF_INET:
                data = data[(data[0] & 15) * 4 :]
            return int.from_bytes(data[2:4], "big")

        yield wait


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF
