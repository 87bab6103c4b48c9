"""A pod of a check: its attachment, and a look into its network namespace. Functions block for a few milliseconds."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pyroute2 import IPRoute

from cni.attachment import Attachment
from cni.testing import namespaces
from cni.testing.host import UPLINK
from runtimes.linux import syscalls

_T = TypeVar("_T")
_IFF_UP = 1
_TENTATIVE = 0x40


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface as the kernel shows it. `addresses` have prefix lengths, link-local ones left out; `tentative`: some of
    them are not to be used yet (IPv6)."""

    name: str
    mac: str
    mtu: int
    is_up: bool
    addresses: tuple[str, ...]
    tentative: bool


@dataclass(frozen=True, slots=True)
class Pod:
    """`namespace` is where the pod's network namespace is pinned, unless the check has removed it."""

    attachment: Attachment
    namespace: Path

    def run(self, function: Callable[[], _T]) -> _T:
        """Run `function` in a thread inside the pod's namespace."""
        return syscalls.in_namespace(self.namespace, function)

    def links(self) -> dict[str, Link]:
        return self.run(links)

    @property
    def link(self) -> Link:
        """The interface that the attachment is about. Raises KeyError when there is none."""
        return self.links()[self.attachment.ifname]

    def routes(self) -> list[tuple[str, str]]:
        """(destination with prefix length, gateway or "") of the main table, without link-local and multicast ones."""
        return self.run(routes)

    def change(self, what: Callable[[IPRoute, int], object]) -> None:
        """Do something by netlink to the attachment's interface, given its index."""

        def inside() -> None:
            with IPRoute() as route:
                what(route, route.link_lookup(ifname=self.attachment.ifname)[0])

        self.run(inside)

    def another(self, ifname: str) -> "Pod":
        """The same container with another interface."""
        return replace(self, attachment=replace(self.attachment, ifname=ifname))

    def lose_namespace(self) -> None:
        """As after a reboot: the path is gone."""
        namespaces.delete(self.namespace)

    @property
    def has_lost_namespace(self) -> bool:
        return not os.path.ismount(
            self.namespace
        )  # Path.is_mount takes only folders for mount points before Python 3.12


def make_link(ifname: str) -> None:
    """Make an interface of that name in the calling thread's namespace."""
    with IPRoute() as route:
        route.link("add", ifname=ifname, kind="bridge")


def delete_link(ifname: str) -> None:
    with IPRoute() as route:
        route.link("del", index=route.link_lookup(ifname=ifname)[0])


def detach_link(ifname: str) -> None:
    """Take an interface of the calling thread's namespace from its bridge."""
    with IPRoute() as route:
        route.link("set", index=route.link_lookup(ifname=ifname)[0], master=0)


def ports_of_bridges() -> set[str]:
    """Names of the interfaces of the calling thread's namespace that are on one."""
    with IPRoute() as route:
        return {link.get_attr("IFLA_IFNAME") for link in route.get_links() if link.get_attr("IFLA_MASTER")}


def peers() -> set[str]:
    """Names of the veth interfaces of the calling thread's namespace, which is a host's, but for its uplink."""
    with IPRoute() as route:
        found = [link for link in route.get_links() if link.get_attr("IFLA_LINKINFO")]
    veths = [link for link in found if link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "veth"]
    return {link.get_attr("IFLA_IFNAME") for link in veths} - {UPLINK}


def links() -> dict[str, Link]:
    """The interfaces of the calling thread's namespace, by name, the loopback left out."""
    with IPRoute() as route:
        found: dict[int, list[Any]] = {}
        for item in route.get_addr():
            found.setdefault(item["index"], []).append(item)
        return {
            link.get_attr("IFLA_IFNAME"): _link(link, found.get(link["index"], []))
            for link in route.get_links()
            if link.get_attr("IFLA_IFNAME") != "lo"
        }


def _link(link: Any, addresses: list[Any]) -> Link:
    shown = [item for item in addresses if not item.get_attr("IFA_ADDRESS").startswith("fe80:")]
    return Link(
        name=link.get_attr("IFLA_IFNAME"),
        mac=link.get_attr("IFLA_ADDRESS"),
        mtu=link.get_attr("IFLA_MTU"),
        is_up=bool(link["flags"] & _IFF_UP),
        addresses=tuple(sorted(f"{item.get_attr('IFA_ADDRESS')}/{item['prefixlen']}" for item in shown)),
        tentative=any((item.get_attr("IFA_FLAGS") or item["flags"]) & _TENTATIVE for item in shown),
    )


def routes() -> list[tuple[str, str]]:
    found = []
    with IPRoute() as route:
        for item in route.get_routes(table=254):
            anywhere = "::" if item["family"] == 10 else "0.0.0.0"
            destination = item.get_attr("RTA_DST") or anywhere
            if not destination.startswith(("fe80:", "ff00:")):
                found.append((f"{destination}/{item['dst_len']}", item.get_attr("RTA_GATEWAY") or ""))
    return found
