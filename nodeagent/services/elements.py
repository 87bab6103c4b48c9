"""The elements of the Services' table for what is wanted, and what has to change. Pure: nothing here asks the kernel."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, count

from cni.native.nftables import messages
from cni.native.nftables.messages import Chain, Message
from cni.native.nftables.sets import Element, Set, Values
from nodeagent.services.frontends import Frontend
from nodeagent.services.table import FAMILIES, NOBODY, Slot, Way

Elements = dict[Set, dict[Values, Element]]
Place = tuple[int, Values]  # family; address, protocol, port, or of a node port protocol and port
Where = tuple[Set, Values]  # one element
_DROP: Values = ("drop",)
_REJECT: Values = ("goto", NOBODY)
_FIRST_NUMBER = 1000  # of sets in a batch that also makes the table


@dataclass(frozen=True, slots=True)
class Wants:
    """What one Service wants: its places, and its cluster addresses (family, address)."""

    places: tuple[Frontend, ...]
    cluster_addresses: tuple[tuple[int, str], ...] = ()


Aim = Mapping[str, Wants]  # by Service


@dataclass(frozen=True, slots=True)
class Difference:
    """One element before and after; None: it is not there."""

    item: Set
    key: Values
    old: Element | None
    new: Element | None


class TableState:
    """What the table holds, and which Service wants what of it. A change costs what the Services that change have.

    A place that two Services claim belongs to the one whose cluster address it is: nobody takes it by his `externalIPs`
    (CVE-2020-8554); else to the first by name. An endpoint keeps its slot.
    """

    def __init__(
        self, elements: Elements | None = None, slots: Iterable[Slot] = (), chains: Iterable[str] = ()
    ) -> None:
        """`slots`: those for which there are maps and sets."""
        self._elements: Elements = elements or {}
        self._slots, self._chains = set(slots), set(chains)
        self._aim: dict[str, Wants] = {}
        self._claims: dict[Place, dict[str, Frontend]] = {}
        self._shared: dict[Where, set[str]] = {}
        self._unclaimed = {(item, key) for item, some in self._elements.items() for key in some}
        self._endpoints: dict[Place, dict[Values, int]] = {}  # the slot of each
        for item, key in self._unclaimed:
            self._note(Difference(item, key, None, self._elements[item][key]))

    def change(self, table: str, aim: Aim) -> tuple[list[Message], list[Difference]]:
        """Become what is wanted: the messages by which the kernel's table does, and what they change."""
        places, doubtful = self._claim(aim)
        wanted: dict[Where, Element] = {}
        ways: set[Way] = set()
        for place in places:
            before = self._endpoints.get(place, {})
            doubtful |= set(_elements_of(place, before))
            if claims := self._claims.get(place):
                holder = min(claims, key=lambda service: (claims[service].external, service))
                made, way = place_elements(claims[holder], before)
                wanted |= made
                ways |= {way} if way is not None else set()
        for where in doubtful & self._shared.keys():
            wanted[where] = Element(key=where[1])
        differences = [
            Difference(item, key, old, new)
            for item, key in sorted(doubtful | wanted.keys(), key=_order)
            if (old := self._elements.get(item, {}).get(key)) != (new := wanted.get((item, key)))
        ]
        batch = [*self._new_chains(table, ways), *_messages(table, differences)]
        for difference in differences:
            self._enter(difference)
        return batch, differences

    @property
    def number_of_chains(self) -> int:
        """Those that places have, or have had: none is taken away."""
        return len(self._chains)

    def targets(self, place: Place) -> frozenset[Values]:
        """The endpoints that a place leads to: address, port."""
        return frozenset(self._endpoints.get(place, ()))

    def _claim(self, aim: Aim) -> tuple[set[Place], set[Where]]:
        """Take up what Services want now; return the places, and the elements shared by Services, that this is about."""
        places: set[Place] = set()
        doubtful, self._unclaimed = self._unclaimed, set()
        for service in _changed(self._aim, aim):
            if (old := self._aim.pop(service, None)) is not None:
                for frontend in old.places:
                    places.add(place := place_of(frontend))
                    self._claims[place].pop(service, None)
                for where in shared_elements(old):
                    doubtful.add(where)
                    self._shared[where].discard(service)
                    if not self._shared[where]:
                        del self._shared[where]
            if (new := aim.get(service)) is not None:
                self._aim[service] = new
                for frontend in new.places:
                    places.add(place := place_of(frontend))
                    self._claims.setdefault(place, {}).setdefault(service, frontend)
                for where in shared_elements(new):
                    doubtful.add(where)
                    self._shared.setdefault(where, set()).add(service)
        for place in [place for place in places if not self._claims.get(place)]:
            self._claims.pop(place, None)
        return places, doubtful

    def _new_chains(self, table: str, ways: Collection[Way]) -> list[Message]:
        """Maps, then chains, then their rules: each needs what is before it."""
        numbers = count(_FIRST_NUMBER)
        batch, rules = [], []
        for slot in sorted({slot for way in ways for slot in way.places} - self._slots):
            self._slots.add(slot)
            batch += [messages.new_set(table, item, next(numbers)) for item in (slot.endpoints, slot.clients)]
        for slot, seconds in sorted({(slot, way.sticky_seconds) for way in ways for slot in way.places}):
            if (name := slot.chain(seconds)) not in self._chains:
                self._chains.add(name)
                batch.append(messages.new_chain(table, Chain(name=name)))
                rules += [messages.new_rule(table, rule) for rule in slot.rules(seconds)]
        for way in sorted(ways):
            if way.chain not in self._chains:
                self._chains.add(way.chain)
                batch.append(messages.new_chain(table, Chain(name=way.chain)))
                rules += [messages.new_rule(table, rule) for rule in way.rules()]
                targets = [slot.chain(way.sticky_seconds) for slot in way.places]
                rules += messages.new_choice(table, way.chain, f"{way.chain}: any", targets, next(numbers))
        return batch + rules

    def _enter(self, difference: Difference) -> None:
        some = self._elements.setdefault(difference.item, {})
        if difference.new is None:
            some.pop(difference.key, None)
        else:
            some[difference.key] = difference.new
        self._note(difference)

    def _note(self, difference: Difference) -> None:
        """Keep in mind which endpoints are where."""
        if (slot := slot_of(difference.item.name)) is None:
            return
        place = (slot.version, difference.key)
        endpoints = self._endpoints.setdefault(place, {})
        old, new = difference.old, difference.new
        if old is not None and old.value is not None and endpoints.get(old.value) == slot.number:
            del endpoints[old.value]
        if new is not None and new.value is not None:
            endpoints[new.value] = slot.number
        if not endpoints:
            del self._endpoints[place]


def place_elements(frontend: Frontend, before: Mapping[Values, int]) -> tuple[dict[Where, Element], Way | None]:
    """The elements of a place alone, and the chain that it needs. `before`: the slots of its endpoints."""
    family, by_address = FAMILIES[frontend.version], bool(frontend.address)
    key = place_of(frontend)[1]
    made: dict[Where, Element] = {}

    def put(item: Set, value: Values) -> None:
        made[item, key] = Element(key=key, value=value, comment=frontend.service)

    if not frontend.behind.endpoints:
        put(
            family.closed if by_address else family.closed_node_ports,
            _DROP if frontend.behind.elsewhere else _REJECT,
        )
        return made, None
    targets: list[Values] = [(one.address, one.port) for one in frontend.behind.endpoints]
    slots = slots_for(targets, before, may_have_holes=frontend.sticky_seconds > 0)
    way = Way(frontend.version, by_address, tuple(sorted(slots.values())), frontend.sticky_seconds)
    put(family.ways if by_address else family.node_port_ways, ("goto", way.chain))
    for target, number in slots.items():
        put(Slot(frontend.version, by_address, number).endpoints, target)
    return made, way


def shared_elements(wants: Wants) -> set[Where]:
    """The elements without a value that several Services may want."""
    found: set[Where] = {
        (FAMILIES[version].cluster_addresses, (address,)) for version, address in wants.cluster_addresses
    }
    for frontend in wants.places:
        family = FAMILIES[frontend.version]
        for endpoint in frontend.behind.endpoints:
            found.add((family.itself, (endpoint.address, endpoint.address)))
            if not endpoint.is_local:
                found.add((family.elsewhere, (endpoint.address, frontend.protocol, endpoint.port)))
    return found


def place_of(frontend: Frontend) -> Place:
    node_port: Values = (frontend.protocol, frontend.port)
    return frontend.version, (frontend.address, *node_port) if frontend.address else node_port


def slots_for(endpoints: Sequence[Values], before: Mapping[Values, int], *, may_have_holes: bool) -> dict[Values, int]:
    """A slot for each endpoint: the one that it has, if it may keep it. Without holes they are below the number of endpoints."""
    bound = max(len(endpoints), *(number + 1 for number in before.values()), 0) if may_have_holes else len(endpoints)
    kept = {one: before[one] for one in endpoints if before.get(one, bound) < bound}
    taken = set(kept.values())
    free = (number for number in count() if number not in taken)
    return kept | {one: next(free) for one in endpoints if one not in kept}


def led_elsewhere(differences: Iterable[Difference]) -> dict[Slot, set[Values]]:
    """Slots of places in which another endpoint is now, or none: who is remembered to be led there must not be any more."""
    found: dict[Slot, set[Values]] = {}
    for one in differences:
        slot = slot_of(one.item.name)
        if slot is not None and one.old is not None and (one.new is None or one.new.value != one.old.value):
            found.setdefault(slot, set()).add(one.key)
    return found


def changed_udp(differences: Iterable[Difference]) -> set[Place]:
    """The places of UDP whose endpoints have changed."""
    found = ((slot_of(one.item.name), one.key) for one in differences)
    return {(slot.version, key) for slot, key in found if slot is not None and "udp" in key}


@cache
def slot_of(name: str) -> Slot | None:
    """The slot whose endpoints are in the map of this name; None for any other set."""
    kind, found, number = name.partition("_endpoints_")
    if not found or not number.isdigit() or not kind[-1:].isdigit():
        return None
    slot = Slot(int(kind[-1]), kind.startswith("address"), int(number))
    return slot if slot.endpoints.name == name else None


def _elements_of(place: Place, slots: Mapping[Values, int]) -> Iterator[Where]:
    """The elements that a place may have beside those that are wanted."""
    version, key = place
    family, by_address = FAMILIES[version], len(key) == 3
    yield from (
        ((family.ways, key), (family.closed, key))
        if by_address
        else ((family.node_port_ways, key), (family.closed_node_ports, key))
    )
    yield from ((Slot(version, by_address, number).endpoints, key) for number in slots.values())


def _messages(table: str, differences: Sequence[Difference]) -> Iterator[Message]:
    """Of each set what goes, then what comes."""
    by_set: dict[Set, list[Difference]] = {}
    for one in differences:
        by_set.setdefault(one.item, []).append(one)
    return chain.from_iterable(
        (
            *messages.delete_elements(table, item, [one.old for one in some if one.old is not None]),
            *messages.new_elements(table, item, [one.new for one in some if one.new is not None]),
        )
        for item, some in by_set.items()
    )


def _changed(old: Aim, new: Aim) -> list[str]:
    """The Services that want something else. Most are the same object as before."""
    gone = [name for name in old if name not in new]
    return gone + [name for name, wants in new.items() if (was := old.get(name)) is not wants and was != wants]


def _order(where: Where) -> tuple[str, str]:
    return where[0].name, str(where[1])
