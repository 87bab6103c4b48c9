"""One reading for all who ask."""

import asyncio

import pytest

from nodeagent.stats.cache import Cached


async def test_a_reading_is_shared_and_kept_for_a_moment() -> None:
    """Who asks together, or soon after, gets the same one; later it is read again; an error is kept for nobody."""
    now, reads = [0.0], [0]
    answers: list[int | OSError] = [1, 2, OSError("gone"), 4]

    async def read() -> int:
        answer = answers[reads[0]]
        reads[0] += 1
        await asyncio.sleep(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    cached = Cached(read, fresh_seconds=1.0, clock=lambda: now[0])
    assert await asyncio.gather(cached.get(), cached.get()) == [1, 1]
    now[0] = 0.9
    assert await cached.get() == 1
    now[0] = 1.0
    assert await cached.get() == 2
    now[0] = 2.0
    with pytest.raises(OSError, match="gone"):
        await cached.get()
    assert (await cached.get(), reads) == (4, [4])
