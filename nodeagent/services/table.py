"""The nftables table of Services. Its rules are the same for every Service: only elements of its sets and maps differ.

    prerouting, output   -> services: by (address, protocol, port), else for addresses of this machine by (protocol, port)
                            to the chain for the slots in which there are endpoints
    address4_3           three endpoints, in slots 0, 1, 2: to one of the next chains by a random number
    address4_to_1        the endpoint in slot 1: (address, protocol, port) -> its address and port; redirect
    address4_3_60s       with affinity, of 60 s: to the slot where the client is in `clients`, else to any, and from there
    address4_to_1_60s    puts it into `clients`
    node_port4_…         the same for node ports
    forward, output,     what leads nowhere: reject without any endpoint, drop where the only ones are on other nodes and
    input                the policy is Local; and a cluster address has no other ports than its Services'
    postrouting          an endpoint that comes to itself by its Service, and who is led to another machine: masquerade

Chains and maps for slots are made when they first occur and stay (until they are too many: then the table is made anew,
without a moment in between, and affinity begins anew); everything else changes by elements. Written so that `nft`
shows all of it, and reads again what it has shown (its 1.0.6 fails on a key that comes out of another map). The rules have
the usual priority of redirections; pods' host ports (cni/native/pod_table.py) come behind.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from cni.native.nftables import expressions as x
from cni.native.nftables.messages import FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING, Chain, Hook, Rule
from cni.native.nftables.sets import (
    IPV4_ADDRESS,
    IPV6_ADDRESS,
    PORT,
    PROTOCOL,
    VERDICT,
    Field,
    Set,
    layout,
)
from cni.native.nftables.tables import Table

VERSION = 1  # of what is below: an agent with a greater one makes the table anew
_DSTNAT, _SRCNAT, _FILTER = -100, 90, 0  # masquerade before pods' own: `postrouting` ends with the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The sets and maps of IPv4 or of IPv6."""

    version: int
    ways: Set  # address, protocol, port -> chain
    node_port_ways: Set  # protocol, port -> chain
    closed: Set  # address, protocol, port -> drop, or the chain that rejects
    closed_node_ports: Set  # protocol, port -> the same
    cluster_addresses: Set
    itself: Set  # address, address: of every endpoint
    elsewhere: Set  # address, protocol, port of endpoints on other machines

    @property
    def number(self) -> int:
        return x.IPV4 if self.version == 4 else x.IPV6

    @property
    def width(self) -> int:
        """How many registers an address takes."""
        return 1 if self.version == 4 else 4

    @property
    def sets(self) -> tuple[Set, ...]:
        """All, in the order of their fields."""
        return tuple(getattr(self, name) for name in self.__slots__ if name != "version")


def _family(version: int) -> Family:
    address = IPV4_ADDRESS if version == 4 else IPV6_ADDRESS
    place, node_port = layout(address, PROTOCOL, PORT), layout(PROTOCOL, PORT)
    return Family(
        version=version,
        ways=Set(f"ways{version}", place, VERDICT),
        node_port_ways=Set(f"node_port_ways{version}", node_port, VERDICT),
        closed=Set(f"closed{version}", place, VERDICT),
        closed_node_ports=Set(f"closed_node_ports{version}", node_port, VERDICT),
        cluster_addresses=Set(f"cluster_addresses{version}", layout(address)),
        itself=Set(f"itself{version}", layout(address, address)),
        elsewhere=Set(f"elsewhere{version}", place),
    )


FAMILIES = {version: _family(version) for version in (4, 6)}


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """Where one endpoint of every place can be. `by_address`: of places with an address; else of node ports."""

    version: int
    by_address: bool
    number: int

    @property
    def name(self) -> str:
        return f"{'address' if self.by_address else 'node_port'}{self.version}"

    @property
    def key(self) -> tuple[Field, ...]:
        return (_ADDRESS[self.version], PROTOCOL, PORT) if self.by_address else (PROTOCOL, PORT)

    @property
    def endpoints(self) -> Set:
        """Place -> address and port of the endpoint in this slot."""
        return _endpoints(self)

    @property
    def clients(self) -> Set:
        """Place and client: who is led to this slot."""
        return _clients(self)

    def chain(self, sticky_seconds: int) -> str:
        return f"{self.name}_to_{self.number}{_suffix(sticky_seconds)}"

    def rules(self, sticky_seconds: int) -> list[Rule]:
        """What the chain does."""
        family, chain = FAMILIES[self.version], self.chain(sticky_seconds)
        find = (*self.load(), x.lookup(self.endpoints.name, into=0))
        redirect = x.redirect(family.number, address_at=0, port_at=family.width)
        made = [Rule(chain=chain, comment=chain, expressions=(*x.family(family.number), *find, redirect))]
        if sticky_seconds:
            remember = x.remember(self.clients.name, at=0, seconds=sticky_seconds)
            body = (*x.family(family.number), *self.load_client(), remember)
            made.insert(0, Rule(chain=chain, comment=f"{chain}: remember", expressions=body))
        return made

    def load(self) -> x.Expressions:
        """The place, to registers from 0."""
        return _place(FAMILIES[self.version]) if self.by_address else _node_port()

    def load_client(self) -> x.Expressions:
        """The place and the client."""
        family = FAMILIES[self.version]
        return (*self.load(), x.source(family.number, family.width + 2 if self.by_address else 2))


@dataclass(frozen=True, slots=True, order=True)
class Way:
    """The chain for places whose endpoints are in these slots."""

    version: int
    by_address: bool
    slots: tuple[int, ...]
    sticky_seconds: int

    @property
    def chain(self) -> str:
        numbers = f"{len(self.slots)}"
        if self.slots != tuple(range(len(self.slots))):
            numbers = "of_" + "_".join(map(str, self.slots))
            if len(numbers) > _LONGEST_NAME:
                numbers = "of_" + hashlib.sha256(numbers.encode()).hexdigest()
        return f"{Slot(self.version, self.by_address, 0).name}_{numbers}{_suffix(self.sticky_seconds)}"

    @property
    def places(self) -> list[Slot]:
        return [Slot(self.version, self.by_address, number) for number in self.slots]

    def rules(self) -> list[Rule]:
        """What the chain does before it goes to any of the slots."""
        if not self.sticky_seconds:
            return []
        return [
            Rule(
                chain=self.chain,
                comment=f"{self.chain}: again to {slot.number}",
                expressions=(
                    *x.family(FAMILIES[self.version].number),
                    *slot.load_client(),
                    x.lookup(slot.clients.name),
                    x.verdict(x.GOTO, slot.chain(self.sticky_seconds)),
                ),
            )
            for slot in self.places
        ]


@cache
def _endpoints(slot: Slot) -> Set:
    return Set(f"{slot.name}_endpoints_{slot.number}", layout(*slot.key), layout(_ADDRESS[slot.version], PORT))


@cache
def _clients(slot: Slot) -> Set:
    return Set(f"{slot.name}_clients_{slot.number}", layout(*slot.key, _ADDRESS[slot.version]), dynamic=True)


_ADDRESS = {4: IPV4_ADDRESS, 6: IPV6_ADDRESS}
_LONGEST_NAME = 100  # of the 255 bytes that a chain's name may have


def _suffix(sticky_seconds: int) -> str:
    return f"_{sticky_seconds}s" if sticky_seconds else ""


NOBODY = "nobody"  # the chain that rejects


@cache
def services_table(name: str) -> Table:
    """The table without ways and without any element."""
    rules = [Rule(chain=NOBODY, comment="nobody is there", expressions=(x.reject(),))]
    for family in FAMILIES.values():
        rules += _decisions(family, "services", family.ways, family.node_port_ways)
        rules += _decisions(family, "closed", family.closed, family.closed_node_ports)
        unknown = (*x.family(family.number), x.destination(family.number), x.lookup(family.cluster_addresses.name))
        rules.append(_rule("closed", family, "no such port", (*unknown, x.verdict(x.GOTO, NOBODY))))
        rules += _masquerades(family)
    rules += [
        Rule(chain=hook, comment=f"services, {hook}", expressions=(x.verdict(x.JUMP, "services"),))
        for hook in ("prerouting", "output")
    ]
    rules += [
        Rule(chain=hook, comment=f"new connections, {hook}", expressions=(*x.is_new(), x.verdict(x.JUMP, "closed")))
        for hook in ("input", "forward", "output_filter")
    ]
    return Table(
        name=name,
        version=VERSION,
        sets=tuple(item for family in FAMILIES.values() for item in family.sets),
        chains=(Chain(name="services"), Chain(name="closed"), Chain(name=NOBODY), *_base_chains()),
        rules=tuple(rules),
    )


def _base_chains() -> Iterator[Chain]:
    yield Chain(name="prerouting", hook=Hook(kind="nat", number=PREROUTING, priority=_DSTNAT))
    yield Chain(name="output", hook=Hook(kind="nat", number=OUTPUT, priority=_DSTNAT))
    yield Chain(name="postrouting", hook=Hook(kind="nat", number=POSTROUTING, priority=_SRCNAT))
    yield Chain(name="input", hook=Hook(kind="filter", number=INPUT, priority=_FILTER))
    yield Chain(name="forward", hook=Hook(kind="filter", number=FORWARD, priority=_FILTER))
    yield Chain(name="output_filter", hook=Hook(kind="filter", number=OUTPUT, priority=_FILTER))


def _decisions(family: Family, chain: str, by_address: Set, by_node_port: Set) -> list[Rule]:
    """What a packet's destination is decided by: its address and port; an address of this machine and a node port."""
    loopback = b"\x7f" if family.version == 4 else bytes(15) + b"\x01"
    not_loopback = (x.destination(family.number, 0, len(loopback)), x.compare(loopback, equal=False))
    whole = (*x.family(family.number), *_place(family), x.decide(by_address.name))
    local = (*x.family(family.number), *not_loopback, *x.is_local(), *_node_port(), x.decide(by_node_port.name))
    return [_rule(chain, family, "by address", whole), _rule(chain, family, "by node port", local)]


def _masquerades(family: Family) -> list[Rule]:
    number, width = family.number, family.width
    own = (x.source(number), x.destination(number, width), x.lookup(family.itself.name))
    away = (*_place(family), x.lookup(family.elsewhere.name))
    return [
        _rule("postrouting", family, what, (*x.family(number), *x.was_redirected(), *tests, x.masquerade()))
        for what, tests in (("an endpoint to itself", own), ("to another machine", away))
    ]


def _place(family: Family) -> x.Expressions:
    """Load address, protocol and port."""
    return x.destination(family.number), x.transport(family.width), x.destination_port(family.width + 1)


def _node_port() -> x.Expressions:
    """Load protocol and port."""
    return x.transport(0), x.destination_port(1)


def _rule(chain: str, family: Family, what: str, body: x.Expressions) -> Rule:
    return Rule(chain=chain, comment=f"IPv{family.version} {chain} {what}", expressions=body)
