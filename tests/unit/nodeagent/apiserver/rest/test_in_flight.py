"""Room for bytes between the server and its clients."""

import asyncio
from contextlib import suppress

from nodeagent.apiserver.rest.in_flight import SMALL_BYTES, InFlight

BIG = SMALL_BYTES + 1


async def _until(reached: "asyncio.Event") -> None:
    await asyncio.wait_for(reached.wait(), 30)


async def test_small_ones_are_not_counted() -> None:
    """What a connection buffers by itself waits for nobody."""
    room = InFlight(BIG)
    async with room.holding(BIG, lambda: None), room.holding(SMALL_BYTES, lambda: None):
        assert room.size == BIG


async def test_waits_for_room() -> None:
    """Nobody is cut off who gives back in time; one that is larger than the room goes alone."""
    room, order, release = InFlight(2 * BIG, patience_seconds=600), [], asyncio.Event()

    async def hold(name: str, size: int) -> None:
        async with room.holding(size, lambda: order.append(f"cut {name}")):
            order.append(name)
            await _until(release)

    tasks = [asyncio.ensure_future(hold(name, size)) for name, size in (("a", BIG), ("b", BIG), ("c", 5 * BIG))]
    for _ in range(5):
        await asyncio.sleep(0)
    assert (order, room.size) == (["a", "b"], 2 * BIG)
    release.set()
    await asyncio.gather(*tasks)
    assert (order, room.size) == (["a", "b", "c"], 0)


async def test_the_oldest_goes_when_others_wait() -> None:
    """Who stands still for longer than the patience of those who wait is cut off: the oldest first, and only for them."""
    room, cut, ended = InFlight(2 * BIG, patience_seconds=0.0), [], asyncio.Event()

    async def stalled(name: str) -> None:
        gone = asyncio.Event()

        def end() -> None:
            cut.append(name)
            gone.set()

        async with room.holding(BIG, end):
            await gone.wait()

    tasks = [asyncio.ensure_future(stalled(name)) for name in ("a", "b")]
    await asyncio.sleep(0)
    async with room.holding(BIG, lambda: None):
        assert cut[:1] == ["a"]
        ended.set()
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert room.size == 0
