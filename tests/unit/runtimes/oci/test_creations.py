"""Requests that are repeated while the first is under way."""

import asyncio
from collections.abc import Callable

import pytest

from runtimes import errors
from runtimes.oci.creations import Creations


class Work:
    """A creation whose steps are the test's to release."""

    def __init__(self) -> None:
        self.begun = 0
        self.log: list[str] = []
        self.usable, self.done, self.undone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, usable: Callable[[str], None]) -> str:
        self.begun += 1
        name = f"id{self.begun}"
        self.log.append(f"{name} begins")
        try:
            await self.usable.wait()
            usable(name)
            await self.done.wait()
        except asyncio.CancelledError:
            async with asyncio.timeout(5):
                await self.undone.wait()
            self.log.append(f"{name} undone")
            raise
        return name


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_same_request_joins() -> None:
    """One piece of work, the same answer for all; each caller hears once, however late he comes, when it can be used."""
    creations, work, told = Creations[str](), Work(), list[str]()
    first = asyncio.create_task(creations.join("k", work, lambda name: told.append(f"first {name}")))
    second = asyncio.create_task(creations.join("k", work, lambda name: told.append(f"second {name}")))
    await settle()
    work.usable.set()
    await settle()
    late = asyncio.create_task(creations.join("k", work, lambda name: told.append(f"late {name}")))
    silent = asyncio.create_task(creations.join("k", work))
    await settle()
    work.done.set()
    assert await asyncio.gather(first, second, late, silent) == ["id1"] * 4
    assert told == ["first id1", "second id1", "late id1"]
    assert work.begun == 1
    assert creations._creations == {}


async def test_another_request_does_not() -> None:
    """Who and how are the key: nobody gets what he has not asked for."""
    creations, work = Creations[str](), Work()
    work.usable.set()
    work.done.set()
    assert await asyncio.gather(creations.join("a", work), creations.join("b", work)) == ["id1", "id2"]


async def test_an_error_is_everybodys() -> None:
    """And the next request tries again."""
    creations, tries = Creations[str](), 0

    async def fail(usable: Callable[[str], None]) -> str:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0)
        raise errors.Internal("no network")

    for expected in (1, 2):
        found = await asyncio.gather(creations.join("k", fail), creations.join("k", fail), return_exceptions=True)
        assert [str(error) for error in found] == ["no network"] * 2
        assert tries == expected


async def test_it_goes_on_as_long_as_somebody_waits() -> None:
    """The one who began it may leave; he is not told any more."""
    creations, work, told = Creations[str](), Work(), list[str]()
    first = asyncio.create_task(creations.join("k", work, told.append))
    second = asyncio.create_task(creations.join("k", work))
    await settle()
    first.cancel()
    await settle()
    work.usable.set()
    work.done.set()
    assert await second == "id1"
    assert (first.cancelled(), told) == (True, [])


async def test_what_is_given_up_is_undone_before_the_next_begins() -> None:
    """The name is free again when nothing of the first is left; the next is another, and tells its own id."""
    creations, work, told = Creations[str](), Work(), list[str]()
    work.usable.set()
    first = asyncio.create_task(creations.join("k", work))
    await settle()
    first.cancel()
    await settle()
    second = asyncio.create_task(creations.join("k", work, told.append))
    await settle()
    assert (work.log, told) == (["id1 begins"], [])
    work.undone.set()
    work.done.set()
    assert await second == "id2"
    assert (work.log, told) == (["id1 begins", "id1 undone", "id2 begins"], ["id2"])
    with pytest.raises(asyncio.CancelledError):
        await first
    assert first.cancelled()


async def test_a_creation_that_is_cancelled_by_others_is_an_error() -> None:
    """Who waits was not cancelled himself, and can try again."""
    creations = Creations[str]()

    async def end(usable: Callable[[str], None]) -> str:
        raise asyncio.CancelledError

    with pytest.raises(errors.Unavailable, match="cancelled"):
        await creations.join("k", end)
