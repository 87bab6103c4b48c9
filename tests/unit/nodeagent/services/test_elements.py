"""What of the table changes when Services do."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from nodeagent.services.balancing import Behind, Endpoint
from nodeagent.services.elements import State, Wanted, change, led_elsewhere, slot_of, slots_for, stale_udp
from nodeagent.services.frontends import Frontend
from nodeagent.services.table import VERSION, Slot, Way, services_table


def place(
    *endpoints: str, address: str = "10.96.0.20", sticky: int = 0, protocol: str = "tcp", **more: bool
) -> Frontend:
    found = Behind(tuple(Endpoint(one, 8080, True) for one in endpoints), **more)
    return Frontend(
        version=4,
        address=address,
        protocol=protocol,
        port=80,
        service="default/web",
        behind=found,
        sticky_seconds=sticky,
    )


def after(*states: Frontend) -> tuple[list[str], State]:
    """The last of the changes, by which the table becomes each of these in turn: in words, and what is there then."""
    state, words = State(), []
    for one in states:
        batch, state = change("t", state, Wanted((one,), ()))
        words = [message.about.removesuffix(" of table t") for message in batch]
    return words, state


def test_nothing_changes_nothing() -> None:
    """Wanting what is there is an empty batch."""
    assert after(place("10.0.0.1", "10.0.0.2"), place("10.0.0.1", "10.0.0.2"))[0] == []


def test_one_endpoint_more() -> None:
    """A chain for that many if there was none; elements of this place alone."""
    words, _ = after(place("10.0.0.1"), place("10.0.0.1", "10.0.0.2"), place("10.0.0.1"), place("10.0.0.1", "10.0.0.2"))
    assert words == [
        "element 10.96.0.20 . tcp . 80 : goto . address4_1 of set ways4",
        "element 10.96.0.20 . tcp . 80 : goto . address4_2 of set ways4",
        "element 10.0.0.2 . 10.0.0.2 of set itself4",
        "element 10.96.0.20 . tcp . 80 : 10.0.0.2 . 8080 of set address4_endpoints_1",
    ]


def test_no_endpoint() -> None:
    """Rejected; dropped where others have some; and back."""
    assert after(place())[0] == ["element 10.96.0.20 . tcp . 80 : goto . nobody of set closed4"]
    assert after(place(elsewhere=True))[0] == ["element 10.96.0.20 . tcp . 80 : drop of set closed4"]
    assert "element 10.96.0.20 . tcp . 80 : goto . nobody of set closed4" in after(place(), place("10.0.0.1"))[0]


def test_who_comes_second_to_a_place() -> None:
    """Two Services at one external address and port: the first has it, and nothing of the other is there."""
    aim = Wanted((place("10.0.0.1"), place("10.0.0.9")), ())
    _, state = change("t", State(), aim)
    assert "10.0.0.9" not in str(state.elements)


ENDPOINTS = st.lists(st.integers(1, 12).map(lambda last: (f"10.0.0.{last}", 8080)), unique=True, max_size=12)


@given(before=ENDPOINTS, now=ENDPOINTS, holes=st.booleans())
def test_slots(before: list[tuple[str, int]], now: list[tuple[str, int]], holes: bool) -> None:
    """Each endpoint has one of its own; with holes it never moves; without, they are the first numbers."""
    old = slots_for(before, {}, may_have_holes=holes)
    new = slots_for(now, old, may_have_holes=holes)
    assert sorted(new) == sorted(now)
    assert len(set(new.values())) == len(now)
    if holes:
        assert all(new[one] == old[one] for one in now if one in old)
    else:
        assert sorted(new.values()) == list(range(len(now)))
        assert all(new[one] == old[one] for one in now if old.get(one, len(now)) < len(now))


def test_affinity_ends_with_its_endpoint() -> None:
    """Of the slots, those whose endpoint has gone or is another one are told, with their places."""
    _, before = after(place("10.0.0.1", "10.0.0.2", sticky=60))
    _, now = after(place("10.0.0.1", "10.0.0.2", sticky=60), place("10.0.0.2", sticky=60))
    key = ("10.96.0.20", "tcp", 80)
    assert led_elsewhere(before.elements, now.elements) == {Slot(4, True, 0): frozenset({key})}
    assert led_elsewhere(before.elements, before.elements) == {}


def test_stale_udp() -> None:
    """Places whose endpoints have changed, with those that they have now; TCP ends by itself."""
    _, before = after(place("10.0.0.1", protocol="udp"))
    _, now = after(place("10.0.0.2", protocol="udp"))
    assert stale_udp(before.elements, now.elements) == {80: (frozenset({"10.96.0.20"}), frozenset({"10.0.0.2"}))}
    _, node_port = after(place("10.0.0.1", address="", protocol="udp"))
    assert stale_udp({}, node_port.elements) == {80: (frozenset({""}), frozenset({"10.0.0.1"}))}
    assert stale_udp(after(place("10.0.0.1"))[1].elements, after(place())[1].elements) == {}


def test_names() -> None:
    """A chain tells its endpoints' slots, as long as a chain's name may; a map's name tells its slot."""
    assert Way(4, True, (0, 1, 2), 0).chain == "address4_3"
    assert Way(6, False, (0, 2), 60).chain == "node_port6_of_0_2_60s"
    assert len(Way(4, True, tuple(range(1, 400)), 86400).chain) < 128
    for slot in (Slot(4, True, 0), Slot(6, False, 12)):
        assert slot_of(slot.endpoints.name) == slot
        assert slot_of(slot.clients.name) is None
    assert slot_of("ways4") is slot_of("x_endpoints_") is slot_of("address4_endpoints_x") is None


def test_the_version_belongs_to_the_rules() -> None:
    """Whoever changes a rule, chain or set changes VERSION: else an agent keeps the rules of the one before."""
    made = [(message.kind, message.body) for message in services_table("t").create({})[1:]]
    ways = [(rule.comment, rule.expressions) for seconds in (0, 9) for rule in Way(6, True, (0,), seconds).rules()]
    leaves = [(rule.comment, rule.expressions) for seconds in (0, 9) for rule in Slot(6, True, 0).rules(seconds)]
    digest = hashlib.sha256(repr((made, ways, leaves)).encode()).hexdigest()[:12]
    assert (VERSION, digest) == (1, "a2ebda1807f9")
