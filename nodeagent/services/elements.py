"""The elements of the Services' table for what is wanted, and what has to change. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from cni.native.nftables import messages
from cni.native.nftables.messages import Chain, Message
from cni.native.nftables.sets import Element, Set, Values
from nodeagent.services.frontends import Frontend
from nodeagent.services.table import FAMILIES, NOBODY, Slot, Way

Elements = dict[Set, dict[Values, Element]]
_DROP: Values = ("drop",)
_REJECT: Values = ("goto", NOBODY)
_FIRST_NUMBER = 1000  # of sets in a batch that also makes the table


@dataclass(slots=True)
class State:
    """What the table holds. `slots`: those for which there are maps and chains; `ways`: names of the chains to them."""

    elements: Elements = field(default_factory=dict)
    slots: frozenset[Slot] = frozenset()
    chains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the table is to hold: every place, and the cluster addresses (family, address)."""

    places: tuple[Frontend, ...]
    cluster_addresses: tuple[tuple[int, str], ...]


def change(table: str, there: State, aim: Wanted) -> tuple[list[Message], State]:
    """The messages that make of what is there what is wanted, and what is there then.

    An endpoint keeps its slot. The first to claim a place has it; the order is the caller's.
    """
    made = _Maker(there.elements)
    for place in aim.places:
        made.add(place)
    for version, address in aim.cluster_addresses:
        made.put(FAMILIES[version].cluster_addresses, (address,), None, "")
    batch = _new_chains(table, there, made.ways)
    slots = there.slots | {slot for way in made.ways for slot in way.places}
    batch += _element_changes(table, there.elements, made.elements, slots)
    return batch, State(made.elements, slots, there.chains | _chains(made.ways))


def slots_for(endpoints: Sequence[Values], before: Mapping[Values, int], *, may_have_holes: bool) -> dict[Values, int]:
    """A slot for each endpoint: the one that it has, if it may keep it. Without holes they are below the number of endpoints."""
    bound = max(len(endpoints), *(number + 1 for number in before.values()), 0) if may_have_holes else len(endpoints)
    kept = {one: before[one] for one in endpoints if before.get(one, bound) < bound}
    taken = set(kept.values())
    free = (number for number in count() if number not in taken)
    return kept | {one: next(free) for one in endpoints if one not in kept}


def stale_udp(before: Elements, after: Elements) -> dict[int, tuple[frozenset[str], frozenset[str]]]:
    """Ports of UDP places that have changed: to (addresses of the places, endpoints that connections may have).

    "" among the addresses: any of this machine.
    """
    found: dict[int, tuple[set[str], set[str]]] = {}
    old, new = _targets(before), _targets(after)
    for version, key in old.keys() | new.keys():
        if "udp" in key and old.get((version, key)) != new.get((version, key)):
            addresses, endpoints = found.setdefault(int(key[-1]), (set(), set()))
            addresses.add(str(key[0]) if len(key) == 3 else "")
            endpoints |= {str(target[0]) for target in new.get((version, key), ())}
    return {port: (frozenset(addresses), frozenset(ends)) for port, (addresses, ends) in found.items()}


def led_elsewhere(before: Elements, after: Elements) -> dict[Slot, frozenset[Values]]:
    """Slots of places in which another endpoint is now, or none: who is remembered to be led there must not be any more."""
    found: dict[Slot, frozenset[Values]] = {}
    for item, old in before.items():
        if (slot := slot_of(item.name)) is not None:
            new = after.get(item, {})
            places = frozenset(key for key, one in old.items() if key not in new or new[key].value != one.value)
            if places:
                found[slot] = places
    return found


def slot_of(name: str) -> Slot | None:
    """The slot whose endpoints are in the map of this name; None for any other set."""
    kind, found, number = name.partition("_endpoints_")
    if not found or not number.isdigit() or not kind[-1:].isdigit():
        return None
    slot = Slot(int(kind[-1]), kind.startswith("address"), int(number))
    return slot if slot.endpoints.name == name else None


class _Maker:
    def __init__(self, before: Elements) -> None:
        self.elements: Elements = {}
        self.ways: set[Way] = set()
        self._before = _slots_before(before)

    def put(self, item: Set, key: Values, value: Values | None, comment: str) -> bool:
        """False: the key is taken."""
        some = self.elements.setdefault(item, {})
        if key in some:
            return False
        some[key] = Element(key=key, value=value, comment=comment)
        return True

    def add(self, place: Frontend) -> None:
        family, by_address = FAMILIES[place.version], bool(place.address)
        node_port: Values = (place.protocol, place.port)
        key: Values = (place.address, *node_port) if by_address else node_port
        if not place.behind.endpoints:
            closed = family.closed if by_address else family.closed_node_ports
            self.put(closed, key, _DROP if place.behind.elsewhere else _REJECT, place.service)
            return
        targets: list[Values] = [(one.address, one.port) for one in place.behind.endpoints]
        before = self._before.get((place.version, key), {})
        slots = slots_for(targets, before, may_have_holes=place.sticky_seconds > 0)
        way = Way(place.version, by_address, tuple(sorted(slots.values())), place.sticky_seconds)
        if not self.put(family.ways if by_address else family.node_port_ways, key, ("goto", way.chain), place.service):
            return
        self.ways.add(way)
        for target, number in slots.items():
            self.put(Slot(place.version, by_address, number).endpoints, key, target, place.service)
        for endpoint in place.behind.endpoints:
            self.put(family.itself, (endpoint.address, endpoint.address), None, "")
            if not endpoint.is_local:
                self.put(family.elsewhere, (endpoint.address, place.protocol, endpoint.port), None, "")


def _new_chains(table: str, there: State, ways: Collection[Way]) -> list[Message]:
    """Maps, then chains, then their rules: each needs what is before it."""
    numbers = count(_FIRST_NUMBER)
    slots = {slot for way in ways for slot in way.places} - there.slots
    batch = [
        messages.new_set(table, item, next(numbers))
        for slot in sorted(slots)
        for item in (slot.endpoints, slot.clients)
    ]
    leaves = {(slot, way.sticky_seconds) for way in ways for slot in way.places}
    rules = []
    for slot, seconds in sorted(leaves):
        if slot.chain(seconds) not in there.chains:
            batch.append(messages.new_chain(table, Chain(name=slot.chain(seconds))))
            rules += [messages.new_rule(table, rule) for rule in slot.rules(seconds)]
    for way in sorted(ways):
        if way.chain not in there.chains:
            batch.append(messages.new_chain(table, Chain(name=way.chain)))
            rules += [messages.new_rule(table, rule) for rule in way.rules()]
            targets = [slot.chain(way.sticky_seconds) for slot in way.places]
            rules += messages.new_choice(table, way.chain, f"{way.chain}: any", targets, next(numbers))
    return batch + rules


def _element_changes(table: str, there: Elements, wanted: Elements, slots: Iterable[Slot]) -> list[Message]:
    items = [item for family in FAMILIES.values() for item in family.sets] + [slot.endpoints for slot in sorted(slots)]
    batch: list[Message] = []
    for item in items:
        old, new = there.get(item, {}), wanted.get(item, {})
        batch += messages.delete_elements(table, item, [one for key, one in old.items() if new.get(key) != one])
        batch += messages.new_elements(table, item, [one for key, one in new.items() if old.get(key) != one])
    return batch


def _chains(ways: Iterable[Way]) -> frozenset[str]:
    return frozenset(
        name for way in ways for name in (way.chain, *(slot.chain(way.sticky_seconds) for slot in way.places))
    )


def _slots_before(elements: Elements) -> dict[tuple[int, Values], dict[Values, int]]:
    """By place: the slot of each endpoint."""
    found: dict[tuple[int, Values], dict[Values, int]] = {}
    for item, some in elements.items():
        if (slot := slot_of(item.name)) is not None:
            for key, element in some.items():
                if element.value is not None:
                    found.setdefault((slot.version, key), {})[element.value] = slot.number
    return found


def _targets(elements: Elements) -> dict[tuple[int, Values], frozenset[Values]]:
    """By place: the endpoints that it leads to."""
    return {place: frozenset(slots) for place, slots in _slots_before(elements).items()}
