"""A program's output as it comes."""

import asyncio
import os
from pathlib import Path

import pytest

from runtimes.linux.process import ProcessTimeout, ProgramNotFound
from runtimes.linux.program_output import program_output


async def collected(*argv: str, timeout_seconds: float = 60.0) -> bytes:
    return b"".join([piece async for piece in program_output(argv, timeout_seconds=timeout_seconds)])


async def test_both_streams_in_order() -> None:
    """What is printed comes, complaints in their place, however the program ends."""
    assert await collected("sh", "-c", "echo one; echo two >&2; echo three; exit 3") == b"one\ntwo\nthree\n"
    assert len(await collected("head", "-c", "5000000", "/dev/zero")) == 5_000_000


async def test_what_cannot_be_run(tmp_path: Path) -> None:
    """No such program is an error of its own."""
    with pytest.raises(ProgramNotFound):
        await collected(str(tmp_path / "none"))


async def test_the_deadline_ends_it() -> None:
    """With its children, and what was printed until then has come."""
    said = bytearray()
    with pytest.raises(ProcessTimeout):
        async for piece in program_output(["sh", "-c", "echo $$; sleep 1000; true"], timeout_seconds=0.5):
            said += piece
    with pytest.raises(ProcessLookupError):
        os.kill(int(said), 0)


async def test_a_reader_that_stops_ends_it() -> None:
    """Nobody reads it, so it runs no more, also where the reader is cancelled."""
    pieces = program_output(["sh", "-c", "echo $$; exec sleep 1000"], timeout_seconds=60)
    pid = int(await anext(pieces))
    waiting = asyncio.create_task(anext(pieces))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
