"""The nftables table of all pods on this machine, and what of it is one pod's.

One table for all networks and all agents: an element says in its comment whose it is (`network container interface`),
a key can only be there once, and so a host port has one owner. The rules are the same for one pod and for a thousand:

    prerouting, output  to an address of this machine: host_ports, then what host_ports_at and host_ports say
    postrouting         what is redirected (by a host port, or a Service) from a pod to itself, from 127.0.0.0/8 to a pod,
                        or between pods of a bridge whose frames the packet filter does not see: masquerade, since the
                        answer would not come back through us. What leaves a pod's bridge for anywhere else (but
                        multicast): masquerade, if the pod's network wants that
    loopback_guard      127.0.0.0/8 from a bridge: drop. The bridge routes such addresses (route_localnet), so that
                        127.0.0.1:PORT of the host reaches the pod; pods must not reach the host's loopback by that

[::1]:PORT is left alone: Linux takes no answer for ::1 from any interface but lo, and a redirected client would wait.

Redirections come behind those of a cluster's Services (priority -100): a pod's host port must not take a Service's
place (CVE-2019-9946).

There is no forward chain: an `accept` in one table does not overrule the `drop` of another, so it would change nothing.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address

from cni.native.nftables import expressions as x
from cni.native.nftables.messages import (
    MAX_COMMENT_BYTES,
    OUTPUT,
    POSTROUTING,
    PREROUTING,
    Chain,
    Hook,
    Rule,
)
from cni.native.nftables.sets import INTERFACE, IPV4_ADDRESS, IPV6_ADDRESS, PORT, PROTOCOL, Element, Set, layout
from cni.native.nftables.tables import Table
from cni.native.rules import HostPort, Interface, Owner, PodRules, RulesRefused

VERSION = 2  # of the rules and sets below: an agent with a greater one makes the table anew, and keeps the elements

_DSTNAT, _SRCNAT, _RAW = -90, 100, -300


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The sets of IPv4 or of IPv6."""

    version: int
    pods: Set  # address and bridge of every pod
    itself: Set  # address and address of every pod
    unseen: Set  # address and bridge of pods on bridges whose frames do not pass the packet filter
    masquerade: Set  # addresses of pods that are masqueraded
    host_ports: Set  # protocol, port -> address, port of a pod
    host_ports_at: Set  # the same for one address of the host

    @property
    def number(self) -> int:
        return x.IPV4 if self.version == 4 else x.IPV6

    @property
    def registers(self) -> int:
        """How many registers an address takes."""
        return 1 if self.version == 4 else 4

    @property
    def sets(self) -> tuple[Set, ...]:
        return self.pods, self.itself, self.unseen, self.masquerade, self.host_ports, self.host_ports_at


def _family(version: int) -> Family:
    address = IPV4_ADDRESS if version == 4 else IPV6_ADDRESS
    target = layout(address, PORT)
    return Family(
        version=version,
        pods=Set(f"pods{version}", layout(address, INTERFACE)),
        itself=Set(f"itself{version}", layout(address, address)),
        unseen=Set(f"unseen{version}", layout(address, INTERFACE)),
        masquerade=Set(f"masquerade{version}", layout(address)),
        host_ports=Set(f"host_ports{version}", layout(PROTOCOL, PORT), target),
        host_ports_at=Set(f"host_ports_at{version}", layout(address, PROTOCOL, PORT), target),
    )


FAMILIES = {version: _family(version) for version in (4, 6)}
UNSEEN = frozenset(family.unseen for family in FAMILIES.values())
BRIDGES = Set("bridges", layout(INTERFACE))  # those that route 127.0.0.0/8
PORT_MAPS = frozenset(item for family in FAMILIES.values() for item in (family.host_ports, family.host_ports_at))


@cache
def pod_table() -> Table:
    """The table without any element."""
    rules = [*_redirections(), *_loopback_guard()]
    for family in FAMILIES.values():
        rules += _masquerades(family)
    return Table(
        name="nodeagent",
        version=VERSION,
        sets=(*(item for family in FAMILIES.values() for item in family.sets), BRIDGES),
        chains=(
            Chain(name="host_ports"),
            Chain(name="prerouting", hook=Hook(kind="nat", number=PREROUTING, priority=_DSTNAT)),
            Chain(name="output", hook=Hook(kind="nat", number=OUTPUT, priority=_DSTNAT)),
            Chain(name="postrouting", hook=Hook(kind="nat", number=POSTROUTING, priority=_SRCNAT)),
            Chain(name="loopback_guard", hook=Hook(kind="filter", number=PREROUTING, priority=_RAW)),
        ),
        rules=tuple(rules),
    )


def elements(pod: PodRules, unseen: Collection[int] = ()) -> dict[Set, tuple[Element, ...]]:
    """The pod's elements, by their sets. `unseen`: of which IP versions frames on its bridge do not pass the packet filter.

    Raises RulesRefused.
    """
    comment = owner_comment(pod.owner)
    found: dict[Set, list[Element]] = {}
    for interface in pod.addresses:
        family, address = FAMILIES[interface.version], str(interface.ip)
        found.setdefault(family.pods, []).append(Element(key=(address, pod.bridge), comment=comment))
        found.setdefault(family.itself, []).append(Element(key=(address, address), comment=comment))
        if interface.version in unseen:
            found.setdefault(family.unseen, []).append(Element(key=(address, pod.bridge), comment=comment))
        if pod.masquerade:
            found.setdefault(family.masquerade, []).append(Element(key=(address,), comment=comment))
    for port in pod.host_ports:
        for interface in reached_by(port, pod.addresses):
            family = FAMILIES[interface.version]
            value = (str(interface.ip), port.container_port)
            key: tuple[str | int, ...] = (port.protocol, port.host_port)
            where = family.host_ports
            if port.host_ip and not ip_address(port.host_ip).is_unspecified:
                where, key = family.host_ports_at, (str(ip_address(port.host_ip)), *key)
            element = Element(key=key, value=value, comment=comment)
            if element not in found.setdefault(where, []):
                found[where].append(element)
    return {where: tuple(some) for where, some in found.items()}


def reached_by(port: HostPort, addresses: Iterable[Interface]) -> list[Interface]:
    """The pod's addresses that the host port leads to: the first of each family that it is for."""
    wanted = ip_address(port.host_ip).version if port.host_ip else None
    first: dict[int, Interface] = {}
    for interface in addresses:
        if wanted in (None, interface.version):
            first.setdefault(interface.version, interface)
    return list(first.values())


def bridge_element(bridge: str, network: str) -> Element:
    """The element of a bridge that routes 127.0.0.0/8: it is the network's, not one pod's."""
    return Element(key=(bridge,), comment=network)


def owner_comment(owner: Owner) -> str:
    """How an element says whose it is. Raises RulesRefused for names that cannot be told from it again."""
    comment = " ".join(owner)
    if any(" " in part or not part for part in owner) or len(comment.encode()) > MAX_COMMENT_BYTES:
        raise RulesRefused(f"names that cannot be the comment of a rule: {comment!r}")
    return comment


def read_owner(comment: str) -> Owner | None:
    """Whose an element is; None for what is no pod's."""
    parts = comment.split(" ")
    return Owner(*parts) if len(parts) == 3 else None


def _redirections() -> list[Rule]:
    no_way_back = (*x.family(x.IPV6), x.destination(x.IPV6), x.compare(ip_address("::1").packed), x.verdict(x.RETURN))
    rules = [Rule(chain="host_ports", comment="IPv6 loopback", expressions=no_way_back)]
    for family in FAMILIES.values():
        name, width = f"IPv{family.version}", family.registers
        at = (
            *x.family(family.number),
            x.destination(family.number, 0),
            x.transport(width),
            x.destination_port(width + 1),
            x.lookup(family.host_ports_at.name, at=0, into=0),
            x.redirect(family.number, address_at=0, port_at=width),
        )
        anywhere = (
            *x.family(family.number),
            x.transport(0),
            x.destination_port(1),
            x.lookup(family.host_ports.name, at=0, into=0),
            x.redirect(family.number, address_at=0, port_at=width),
        )
        rules.append(Rule(chain="host_ports", comment=f"{name} host ports of one address", expressions=at))
        rules.append(Rule(chain="host_ports", comment=f"{name} host ports", expressions=anywhere))
    for chain in ("prerouting", "output"):
        to_us = (*x.is_local(), x.verdict(x.JUMP, "host_ports"))
        rules.append(Rule(chain=chain, comment=f"to this machine, {chain}", expressions=to_us))
    return rules


def _masquerades(family: Family) -> list[Rule]:
    number, width, name = family.number, family.registers, f"IPv{family.version}"
    multicast = (x.destination(number, 0, 1), *_above_multicast(family))

    def here(load: bytes, pods: Set = family.pods) -> x.Expressions:
        """Go on if the address is that of a pod at the interface by which the packet leaves."""
        return load, x.out_interface(width), x.lookup(pods.name, at=0)

    itself = (x.source(number), x.destination(number, width), x.lookup(family.itself.name))
    unseen = (*here(x.source(number), family.unseen), *here(x.destination(number), family.unseen))
    from_loopback = (x.source(number, 0, 1), x.compare(bytes([127])), *here(x.destination(number)))
    bodies = (
        *((("from loopback to a pod", from_loopback, x.masquerade()),) if family.version == 4 else ()),
        ("redirected to itself", (*x.was_redirected(), *itself), x.masquerade()),
        ("redirected to a pod of the same bridge", (*x.was_redirected(), *unseen), x.masquerade()),
        ("stays on its bridge", here(x.source(number)), x.verdict(x.RETURN)),
        ("multicast", multicast, x.verdict(x.RETURN)),
        ("pods to the world", (x.source(number), x.lookup(family.masquerade.name)), x.masquerade()),
    )
    return [
        Rule(chain="postrouting", comment=f"{name} {what}", expressions=(*x.family(number), *tests, action))
        for what, tests, action in bodies
    ]


def _above_multicast(family: Family) -> x.Expressions:
    """Go on for 224.0.0.0/4 (the first four bits of the byte loaded), or for ff00::/8."""
    if family.version == 6:
        return (x.compare(b"\xff"),)
    return x.masked(b"\xf0"), x.compare(b"\xe0")


def _loopback_guard() -> list[Rule]:
    """Before connection tracking, where an answer to a masqueraded connection still has the bridge's address."""
    ours = (*x.family(x.IPV4), x.in_interface(0), x.lookup(BRIDGES.name))
    return [
        Rule(
            chain="loopback_guard",
            comment=f"{what} loopback addresses by a bridge",
            expressions=(*ours, load, x.compare(bytes([127])), x.verdict(x.DROP)),
        )
        for what, load in (("to", x.destination(x.IPV4, 0, 1)), ("from", x.source(x.IPV4, 0, 1)))
    ]
