"""When the volumes of a pod are refreshed."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from nodeagent.pods.volume_refresh import VolumeRefresh

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(seconds=91)  # beyond the longest pause


class World:
    """The refreshes that were made, and who was woken. `go`: a refresh may end."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self.refresh = VolumeRefresh("web", self.make, lambda: self.log.append("wake"), NOW)

    async def make(self, anew: bool) -> None:
        self.log.append(f"begin{' anew' if anew else ''}")
        try:
            await self.go.wait()
        finally:
            self.log.append("end")
        if self.error is not None:
            raise self.error

    async def settle(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)


async def test_now_and_then() -> None:
    """Once in 60 to 90 seconds, without a change; while one runs, none is due."""
    world = World()
    next_at = world.refresh.next_at
    assert next_at is not None and NOW + timedelta(seconds=60) <= next_at <= NOW + timedelta(seconds=90)
    world.refresh.begin_due(NOW + timedelta(seconds=59), wanted=True)
    await world.settle()
    assert world.log == []
    world.refresh.begin_due(LATER, wanted=True)
    world.refresh.begin_due(LATER + timedelta(seconds=91), wanted=True)
    assert world.refresh.next_at is None
    world.go.set()
    await world.settle()
    assert world.log == ["begin", "end"]
    assert world.refresh.next_at is not None and world.refresh.next_at > LATER


async def test_at_a_change() -> None:
    """At once; changes that come while one runs make one more, however many they are."""
    world = World()
    world.refresh.sources_changed()
    world.refresh.begin_due(NOW, wanted=True)
    await world.settle()
    world.refresh.sources_changed()
    world.refresh.sources_changed()
    world.go.set()
    await world.settle()
    assert world.log == ["begin anew", "end", "wake"]
    world.refresh.begin_due(NOW, wanted=True)
    await world.settle()
    world.refresh.begin_due(NOW, wanted=True)
    assert world.log[3:] == ["begin anew", "end"]


async def test_one_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Is told, and the next comes in its time."""
    world = World()
    world.error = OSError("no space")
    world.go.set()
    world.refresh.begin_due(LATER, wanted=True)
    await world.settle()
    assert "pod web: refresh of its volumes failed" in caplog.messages
    assert world.refresh.next_at is not None


async def test_a_pod_on_its_way_out() -> None:
    """Nothing is refreshed for it, and no change is left over for later."""
    world = World()
    world.refresh.sources_changed()
    world.refresh.begin_due(NOW, wanted=False)
    world.refresh.begin_due(NOW, wanted=True)
    await world.settle()
    assert world.log == []


async def test_leaving() -> None:
    """What runs is cancelled, and has ended when `leave` returns; nothing runs, nothing is waited for."""
    world = World()
    await world.refresh.leave()
    world.refresh.cancel()
    world.refresh.begin_due(LATER, wanted=True)
    await world.settle()
    await world.refresh.leave()
    assert world.log == ["begin", "end"]
    world.refresh.begin_due(LATER + timedelta(seconds=91), wanted=True)
    await world.settle()
    world.refresh.cancel()
    await world.settle()
    assert world.log == ["begin", "end"] * 2
