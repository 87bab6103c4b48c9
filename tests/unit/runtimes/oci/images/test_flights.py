import asyncio

import pytest

from runtimes.linux.single_flight import Flights


async def test_one_for_all() -> None:
    """However many ask at once, the work is done once; later it is done again."""
    flights: Flights[str, int] = Flights()
    runs = 0
    gate = asyncio.Event()

    async def work() -> int:
        nonlocal runs
        runs += 1
        await gate.wait()
        return runs

    waiting = [asyncio.create_task(flights.join("a", work)) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*waiting) == [1] * 5
    assert await flights.join("a", work) == 2


async def test_error_for_all() -> None:
    """An error reaches everybody, and the next attempt is a new one."""
    flights: Flights[str, int] = Flights()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError("no")

    results = await asyncio.gather(*(flights.join("a", fail) for _ in range(3)), return_exceptions=True)
    assert [str(r) for r in results] == ["no"] * 3
    assert "a" not in flights


async def test_last_one_out_cancels() -> None:
    """One who leaves does not disturb the others; when the last leaves, the work ends before his call does."""
    flights: Flights[str, None] = Flights()
    log: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append("ended")

    first, second = (asyncio.create_task(flights.join("a", work)) for _ in range(2))
    for _ in range(3):
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (log, "a" in flights) == ([], True)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert (log, "a" in flights) == (["ended"], False)


async def test_keys_are_apart() -> None:
    """Different keys run side by side."""
    flights: Flights[int, int] = Flights()

    async def give(value: int) -> int:
        await asyncio.sleep(0)
        return value

    assert await asyncio.gather(*(flights.join(n, lambda n=n: give(n)) for n in range(3))) == [0, 1, 2]  # type: ignore[misc]
