"""Shares of the resolver."""

from nodeagent.cluster_dns.askers import Askers, Bounds


def test_one_asker_leaves_room_for_the_others() -> None:
    """Who has all that one may have gets no more until something of it has ended; others do, until all is used."""
    askers = Askers(Bounds(at_once=3, of_one_at_once=2))
    assert [askers.admit(asker) for asker in ("a", "a", "a", "b", "c")] == [True, True, False, True, False]
    askers.leave("a")
    assert [askers.admit(asker) for asker in ("c", "a")] == [True, False]


def test_a_flood_ends_with_its_second() -> None:
    """More than a second's share is not taken, however fast it is done; in the next second the asker begins anew."""
    now = 100.0
    askers = Askers(Bounds(at_once=9, of_one_at_once=9, of_one_a_second=2), lambda: now)

    def done_at_once(asker: str) -> bool:
        admitted = askers.admit(asker)
        if admitted:
            askers.leave(asker)
        return admitted

    assert [done_at_once(asker) for asker in ("a", "a", "a", "b")] == [True, True, False, True]
    now += 1
    assert done_at_once("a")
