import asyncio
from pathlib import Path

from runtimes.oci.images.lock import alone, shared


async def test_shared_and_alone(tmp_path: Path) -> None:
    """Many may work at once; the one who cleans up gets in only when nobody does, and never waits."""
    path = tmp_path / "lock"
    async with shared(path), shared(path):
        with alone(path) as got:
            assert not got
    with alone(path) as got:
        assert got


async def test_worker_waits_for_clean_up(tmp_path: Path) -> None:
    """Who wants to work while somebody cleans up waits until that is over; giving up leaves no lock behind."""
    path = tmp_path / "lock"

    async def work() -> str:
        async with shared(path):
            return "worked"

    with alone(path) as got:
        assert got
        patient, impatient = asyncio.create_task(work()), asyncio.create_task(work())
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait({impatient})
        assert not patient.done()
    assert await patient == "worked"
    async with asyncio.timeout(10):
        while True:  # the thread of the one who gave up may take and return the lock a moment later
            with alone(path) as got:
                if got:
                    break
            await asyncio.sleep(0)
