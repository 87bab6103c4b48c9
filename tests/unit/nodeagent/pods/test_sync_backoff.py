"""When a pod's work may go on."""

from datetime import UTC, datetime, timedelta

from nodeagent.pods.sync_backoff import SyncBackoff, jittered

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_pass_that_failed() -> None:
    """The usual pause is 10 to 15 seconds, none is shortened by a later one, and whoever changes the pod ends it."""
    backoff = SyncBackoff(lambda: NOW)
    assert backoff.blocked_until is None
    backoff.block()
    until = backoff.blocked_until
    assert until is not None and after(10) <= until <= after(15)
    backoff.block(1.0)
    assert backoff.blocked_until == until
    backoff.block(60.0)
    assert backoff.blocked_until is not None and backoff.blocked_until >= after(60)
    backoff.unblock()
    assert backoff.blocked_until is None


def test_a_teardown_that_fails_again_and_again() -> None:
    """It is tried ever more seldom, and soon again after five minutes without."""
    now = NOW
    backoff = SyncBackoff(lambda: now)

    def pause() -> float:
        nonlocal now
        backoff.block_teardown()
        assert backoff.blocked_until is not None
        seconds = (backoff.blocked_until - now).total_seconds()
        now = backoff.blocked_until
        backoff.drop_over(now)
        return seconds

    for expected in (1, 2, 4, 8, 16, 32, 64, 122, 122):
        assert expected <= pause() <= expected * 1.5
    now += timedelta(minutes=6)
    assert 1 <= pause() <= 1.5


def test_a_container_that_could_not_be_started() -> None:
    """It alone is held; the newest word counts."""
    backoff = SyncBackoff(lambda: NOW)
    backoff.hold("a", 100.0)
    backoff.hold("b")
    backoff.hold("a", 0.0)
    assert set(backoff.held_until) == {"a", "b"}
    assert backoff.held_until["a"] == NOW
    assert after(10) <= backoff.held_until["b"] <= after(15)


def test_what_is_over() -> None:
    """Is forgotten at its time, not before; a change of the pod ends all."""
    backoff = SyncBackoff(lambda: NOW)
    backoff.hold("a", 0.0)
    backoff.hold("b", 100.0)
    backoff.block(0.0)
    backoff.drop_over(after(-1))
    assert (set(backoff.held_until), backoff.blocked_until) == ({"a", "b"}, NOW)
    backoff.drop_over(NOW)
    assert (set(backoff.held_until), backoff.blocked_until) == ({"b"}, None)
    backoff.block(100.0)
    backoff.clear()
    assert (dict(backoff.held_until), backoff.blocked_until) == ({}, None)


def test_not_all_at_once() -> None:
    """1.0 to 1.5 times what was asked for."""
    assert all(timedelta(seconds=10) <= jittered(10) <= timedelta(seconds=15) for _ in range(100))
