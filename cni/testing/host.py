"""A host for one check: a fresh network namespace for the node, one beyond its uplink, and what is to be seen in it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pyroute2 import IPRoute

from cni.testing import namespaces
from runtimes.linux import syscalls

_T = TypeVar("_T")
UPLINK: Final = "eth0"
# addresses for documentation (RFC 5737, RFC 3849): no pod network has them
HOST, OUTSIDE = "192.0.2.2", "192.0.2.1"
HOST6, OUTSIDE6 = "2001:db8::2", "2001:db8::1"
_NO_DAD = 0x02
_LOCAL_TABLE = 255
_FIREWALL_TIMEOUT_SECONDS = 20.0
_TABLES_OF_IPTABLES = {
    f"{family} {name}" for family in ("ip", "ip6") for name in ("filter", "mangle", "nat", "raw", "security")
}


@dataclass(frozen=True, slots=True)
class Host:
    """`outside`: the path of the namespace of a neighbour that knows no route to the pods."""

    outside: Path

    @property
    def has_ipv6(self) -> bool:
        return Path("/proc/sys/net/ipv6").exists()

    def run(self, function: Callable[[], _T]) -> _T:
        """Run `function` in a thread of the host's. Netlink needs one: it cannot be used under a running event loop."""
        return syscalls.in_thread(function)


@contextlib.contextmanager
def fresh_host(folder: Path) -> Iterator[Host]:
    """Move the calling thread, and all that it starts, to a network namespace of its own: loopback, and an uplink `eth0`.

    Needs root. At the end the thread is back where it was; what was made dies with the namespace, if nothing holds it.
    What reads /sys still sees the machine's own interfaces.
    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    outside = folder / "outside"
    try:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        try:
            namespaces.create(outside)
            host = Host(outside)
            host.run(lambda: _connect(host))
            yield host
        finally:
            syscalls.setns(before, syscalls.CLONE_NEWNET)
            namespaces.delete(outside)
    finally:
        os.close(before)


def _connect(host: Host) -> None:
    """Loopback, and an uplink to the neighbour, with addresses and a default route that leads there."""
    namespaces.set_loopback_up()
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def beyond() -> None:
        with IPRoute() as route:
            route.link("add", ifname=UPLINK, kind="veth", peer={"ifname": UPLINK, "net_ns_fd": here})
        _configure(host, OUTSIDE, OUTSIDE6)

    try:
        syscalls.in_namespace(host.outside, beyond)
    finally:
        os.close(here)
    _configure(host, HOST, HOST6)
    with IPRoute() as route:
        route.route("add", dst="default", gateway=OUTSIDE)
        if host.has_ipv6:
            route.route("add", dst="default", gateway=OUTSIDE6)


def _configure(host: Host, address: str, address6: str) -> None:
    with IPRoute() as route:
        index = route.link_lookup(ifname=UPLINK)[0]
        route.link("set", index=index, state="up")
        route.addr("add", index=index, address=address, prefixlen=24)
        if host.has_ipv6:
            route.addr("add", index=index, address=address6, prefixlen=64, flags=_NO_DAD)


def look() -> frozenset[str]:
    """What the calling thread's network namespace holds, a line a thing: links, addresses, routes, firewall rules.

    Without what changes by itself: states, counters, indexes, link-local addresses. Blocks.
    """
    return frozenset([*_links_and_routes(), *_iptables(), *_nftables()])


def _links_and_routes() -> Iterator[str]:
    with IPRoute() as route:
        names = {}
        for link in route.get_links():
            names[link["index"]] = name = link.get_attr("IFLA_IFNAME")
            info = link.get_attr("IFLA_LINKINFO")
            yield f"link {name} {info.get_attr('IFLA_INFO_KIND') if info else 'physical'}"
        for item in route.get_addr():
            address = item.get_attr("IFA_ADDRESS")
            if not address.startswith("fe80:"):
                yield f"address {address}/{item['prefixlen']} on {names.get(item['index'])}"
        for item in route.get_routes():
            table = item.get_attr("RTA_TABLE") or item["table"]
            destination = item.get_attr("RTA_DST") or "default"
            if table != _LOCAL_TABLE and not destination.startswith(("fe80:", "ff00:")):
                where = f"via {item.get_attr('RTA_GATEWAY')} on {names.get(item.get_attr('RTA_OIF'))}"
                yield f"route {destination}/{item['dst_len']} {where} table {table}"
        for item in route.get_rules():
            yield f"policy {item.get_attr('FRA_PRIORITY')} {item.get_attr('FRA_SRC')} table {item['table']}"


def _iptables() -> Iterator[str]:
    for program in ("iptables", "ip6tables"):
        table = ""
        for line in _said(f"{program}-save"):
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith("-A"):
                yield f"{program} {table} {line}"
            elif line.startswith(":") and " - [" in line:  # a chain that has no policy is no built-in one
                yield f"{program} {table} -N {line[1:].partition(' ')[0]}"


def _nftables() -> Iterator[str]:
    """Tables beside those of the iptables programs."""
    table = chain = ""
    for line in map(str.strip, _said("nft", "-s", "list", "ruleset")):
        words = line.split()
        if line.endswith("{") and words[0] == "table":
            table, chain = " ".join(words[1:3]), ""
            if table not in _TABLES_OF_IPTABLES:
                yield f"nftables {table}"
        elif line.endswith("{"):
            chain = " ".join(words[:2])
        if table not in _TABLES_OF_IPTABLES and line not in ("", "}") and words[0] != "table":
            yield f"nftables {table} {chain} {line}"


def flush_firewall() -> None:
    """Take every rule away, those of the iptables programs too. Blocks."""
    _said("nft", "flush", "ruleset")
    for program in ("iptables", "ip6tables"):
        for table in _said("cat", f"/proc/net/{program.removesuffix('tables')}_tables_names") or ("filter", "nat"):
            _said(program, "-w", "-t", table, "-F")


_FOREIGN_RULE = ("INPUT", "-s", OUTSIDE, "-p", "tcp", "--dport", "1", "-j", "ACCEPT")


def make_foreign_rule() -> None:
    """A firewall rule that is somebody else's. Blocks; nothing where there is no iptables."""
    _said("iptables", "-w", "-A", *_FOREIGN_RULE)


def remove_foreign_rule() -> None:
    _said("iptables", "-w", "-D", *_FOREIGN_RULE)


def settings() -> dict[str, str]:
    """Path -> value of the node's own settings of IPv4, but for forwarding and what it brings: that is a network's to turn on."""
    folders = [Path("/proc/sys/net/ipv4/conf") / name for name in ("all", "default", UPLINK)]
    found = {}
    for path in (path for folder in folders for path in sorted(folder.iterdir())):
        if "forwarding" not in path.name and path.name != "accept_redirects":
            with contextlib.suppress(OSError):  # some are written only
                found[f"{path.parent.name}/{path.name}"] = path.read_text().strip()
    return found


def _said(*argv: str) -> list[str]:
    """What a program printed; nothing where there is none, or the kernel has not what it is about."""
    if shutil.which(argv[0]) is None:
        return []
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_FIREWALL_TIMEOUT_SECONDS)
    return done.stdout.splitlines() if done.returncode == 0 else []
