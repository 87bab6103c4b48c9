"""What of the table changes when Services do."""

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cni.native.nftables.sets import Element, Values
from nodeagent.services.balancing import Behind, Endpoint
from nodeagent.services.elements import (
    Difference,
    TableState,
    Wants,
    changed_udp,
    led_elsewhere,
    place_of,
    slot_of,
    slots_for,
)
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


def after(*states: Frontend | None) -> tuple[list[str], list[Difference], TableState]:
    """The last of the changes, by which the table becomes each of these in turn: in words, as differences; and the table."""
    state = TableState()
    words: list[str] = []
    differences: list[Difference] = []
    for one in states:
        batch, differences = state.change("t", {} if one is None else {"default/web": Wants((one,))})
        words = [message.about.removesuffix(" of table t") for message in batch]
    return words, differences, state


def test_nothing_changes_nothing() -> None:
    """Wanting what is there is an empty batch."""
    assert after(place("10.0.0.1", "10.0.0.2"), place("10.0.0.1", "10.0.0.2"))[0] == []


def test_one_endpoint_more() -> None:
    """A chain for that many if there was none; elements of this place alone."""
    words = after(place("10.0.0.1"), place("10.0.0.1", "10.0.0.2"), place("10.0.0.1"), place("10.0.0.1", "10.0.0.2"))[0]
    assert words == [
        "element 10.96.0.20 . tcp . 80 : 10.0.0.2 . 8080 of set address4_endpoints_1",
        "element 10.0.0.2 . 10.0.0.2 of set itself4",
        "element 10.96.0.20 . tcp . 80 : goto . address4_1 of set ways4",
        "element 10.96.0.20 . tcp . 80 : goto . address4_2 of set ways4",
    ]


def test_no_endpoint() -> None:
    """Rejected; dropped where others have some; and back."""
    assert after(place())[0] == ["element 10.96.0.20 . tcp . 80 : goto . nobody of set closed4"]
    assert after(place(elsewhere=True))[0] == ["element 10.96.0.20 . tcp . 80 : drop of set closed4"]
    assert "element 10.96.0.20 . tcp . 80 : goto . nobody of set closed4" in after(place(), place("10.0.0.1"))[0]


def test_a_service_that_goes() -> None:
    """Takes with it all that is its own."""
    words = after(place("10.0.0.1"), None)[0]
    assert words == [
        "element 10.96.0.20 . tcp . 80 : 10.0.0.1 . 8080 of set address4_endpoints_0",
        "element 10.0.0.1 . 10.0.0.1 of set itself4",
        "element 10.96.0.20 . tcp . 80 : goto . address4_1 of set ways4",
    ]


def test_who_comes_second_to_a_place() -> None:
    """Two Services at one external address and port: the first by name has it; when it goes the other does."""
    state, key = TableState(), (4, ("10.96.0.20", "tcp", 80))
    first, second = Wants((place("10.0.0.1"),)), Wants((place("10.0.0.9", "10.0.0.1"),))
    for aim, leads_to in (
        ({"b": second}, {"10.0.0.9", "10.0.0.1"}),
        ({"a": first, "b": second}, {"10.0.0.1"}),
        ({"b": second}, {"10.0.0.9", "10.0.0.1"}),
        ({"a": Wants((place(),)), "b": second}, set()),
    ):
        state.change("t", aim)
        assert {address for address, _ in state.targets(key)} == leads_to


def test_nobody_takes_a_cluster_address_by_his_external_ips() -> None:
    """CVE-2020-8554: whatever the names are, the address leads to the Service that was given it."""
    own, thief = place("10.0.0.1"), replace(place("10.0.0.9"), service="a/thief", external=True)
    for aim in (
        {"z/own": Wants((own,)), "a/thief": Wants((thief,))},
        {"a/thief": Wants((thief,)), "z/own": Wants((own,))},
    ):
        state = TableState()
        state.change("t", aim)
        assert state.targets(place_of(own)) == {("10.0.0.1", 8080)}


def test_what_two_want_stays_for_the_second() -> None:
    """A pod behind two Services is masqueraded to itself until neither is there."""
    one = Wants((place("10.0.0.1"), place("10.0.0.1", address="")))
    other = Wants((place("10.0.0.1", address="10.96.0.21"),))
    state = TableState()
    state.change("t", {"a": one, "b": other})
    gone = []
    for aim in ({"b": other}, {}):
        _, differences = state.change("t", aim)
        gone.append([str(each.old) for each in differences if each.item.name == "itself4"])
    assert gone == [[], ["10.0.0.1 . 10.0.0.1"]]


def test_what_was_there_before_is_adopted() -> None:
    """A table read from the kernel: what is wanted stays in its slot, what nobody wants goes."""
    key: Values = ("10.96.0.20", "tcp", 80)
    slot, stray = Slot(4, True, 1), Slot(4, True, 0)
    elements = {
        slot.endpoints: {key: Element(key=key, value=("10.0.0.2", 8080), comment="default/web")},
        stray.endpoints: {key: Element(key=key, value=("10.0.0.9", 8080), comment="default/web")},
    }
    state = TableState(elements, {slot, stray})
    _, differences = state.change("t", {"default/web": Wants((place("10.0.0.2", "10.0.0.1"),))})
    found = [(str(one.old), str(one.new)) for one in differences if "endpoints" in one.item.name]
    assert found == [("10.96.0.20 . tcp . 80 : 10.0.0.9 . 8080", "10.96.0.20 . tcp . 80 : 10.0.0.1 . 8080")]


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
    both = place("10.0.0.1", "10.0.0.2", sticky=60)
    _, differences, _ = after(both, place("10.0.0.2", sticky=60))
    assert led_elsewhere(differences) == {Slot(4, True, 0): {("10.96.0.20", "tcp", 80)}}
    assert led_elsewhere(after(both, both)[1]) == led_elsewhere(after(both)[1]) == {}


def test_udp_that_has_changed() -> None:
    """Places whose endpoints are others now; TCP ends by itself."""
    _, differences, state = after(place("10.0.0.1", protocol="udp"), place("10.0.0.2", protocol="udp"))
    (changed,) = changed_udp(differences)
    assert changed == (4, ("10.96.0.20", "udp", 80))
    assert sorted(state.targets(changed)) == [("10.0.0.2", 8080)]
    assert changed_udp(after(place("10.0.0.1", address="", protocol="udp"))[1]) == {(4, ("udp", 80))}
    assert changed_udp(after(place("10.0.0.1"), place())[1]) == set()


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
