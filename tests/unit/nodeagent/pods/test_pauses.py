"""When a pod's work may go on."""

from datetime import UTC, datetime, timedelta

from nodeagent.pods.sync_backoff import Pauses, jittered

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_pass_that_failed() -> None:
    """The usual pause is 10 to 15 seconds, none is shortened by a later one, and whoever changes the pod ends it."""
    pauses = Pauses(lambda: NOW)
    assert pauses.blocked_until is None
    pauses.block()
    until = pauses.blocked_until
    assert until is not None and after(10) <= until <= after(15)
    pauses.block(1.0)
    assert pauses.blocked_until == until
    pauses.block(60.0)
    assert pauses.blocked_until is not None and pauses.blocked_until >= after(60)
    pauses.unblock()
    assert pauses.blocked_until is None


def test_a_container_that_could_not_be_started() -> None:
    """It alone is held; the newest word counts."""
    pauses = Pauses(lambda: NOW)
    pauses.hold("a", 100.0)
    pauses.hold("b")
    pauses.hold("a", 0.0)
    assert set(pauses.held_until) == {"a", "b"}
    assert pauses.held_until["a"] == NOW
    assert after(10) <= pauses.held_until["b"] <= after(15)


def test_what_is_over() -> None:
    """Is forgotten at its time, not before; a change of the pod ends all."""
    pauses = Pauses(lambda: NOW)
    pauses.hold("a", 0.0)
    pauses.hold("b", 100.0)
    pauses.block(0.0)
    pauses.drop_over(after(-1))
    assert (set(pauses.held_until), pauses.blocked_until) == ({"a", "b"}, NOW)
    pauses.drop_over(NOW)
    assert (set(pauses.held_until), pauses.blocked_until) == ({"b"}, None)
    pauses.block(100.0)
    pauses.clear()
    assert (dict(pauses.held_until), pauses.blocked_until) == ({}, None)


def test_not_all_at_once() -> None:
    """1.0 to 1.5 times what was asked for."""
    assert all(timedelta(seconds=10) <= jittered(10) <= timedelta(seconds=15) for _ in range(100))
