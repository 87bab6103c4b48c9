"""Keys that are to be looked at, each by one at a time, and again when that failed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from nodeagent.provisioner.work_queue import Failed, WorkQueue
from runtimes.linux.retry import RetryPolicy

AT_ONCE = RetryPolicy(first_seconds=0.0)
NEVER = RetryPolicy(first_seconds=1e6, cap_seconds=1e6)


@contextlib.asynccontextmanager
async def running(
    work: Callable[[str], Awaitable[None]], policy: RetryPolicy = AT_ONCE
) -> AsyncIterator[WorkQueue[str]]:
    queue = WorkQueue(work, policy)
    task = asyncio.create_task(queue.run())
    yield queue
    task.cancel()
    await asyncio.wait({task})


async def test_failures_are_tried_again() -> None:
    """Whatever they are, until it works; other keys go on meanwhile."""
    seen: list[str] = []
    done = asyncio.Event()

    async def work(key: str) -> None:
        seen.append(key)
        if key == "bad" and seen.count("bad") < 3:
            raise Failed("not yet") if seen.count("bad") == 1 else ValueError("a mistake")
        if seen.count("bad") == 3 and "good" in seen:
            done.set()

    async with running(work) as queue:
        queue.add("bad")
        queue.add("good")
        await done.wait()
    assert sorted(seen) == ["bad", "bad", "bad", "good"]


async def test_one_at_a_time() -> None:
    """A key that is added while it is looked at is looked at once more afterwards, however often it was added."""
    seen: list[str] = []
    begun, go, again = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(key: str) -> None:
        seen.append("in")
        begun.set()
        await go.wait()
        seen.append("out")
        if len(seen) == 4:
            again.set()

    async with running(work) as queue:
        queue.add("key")
        await begun.wait()
        queue.add("key")
        queue.add("key")
        go.set()
        await again.wait()
        await asyncio.sleep(0)
    assert seen == ["in", "out", "in", "out"]


async def test_a_change_ends_the_pause() -> None:
    """What has changed is not left waiting for an old failure's turn."""
    seen: list[str] = []
    twice, first = asyncio.Event(), asyncio.Event()

    async def work(key: str) -> None:
        seen.append(key)
        (twice if len(seen) == 2 else first).set()
        raise Failed("no")

    async with running(work, NEVER) as queue:
        queue.add("key")
        await first.wait()
        await asyncio.sleep(0)
        queue.add("key")
        await twice.wait()
    assert seen == ["key", "key"]
