"""The embedded API's process as the agent watches it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from nodeagent import standalone
from nodeagent.standalone import APINotStarted, EmbeddedAPI, EmbeddedAPISettings


class Condition:
    """What was told of it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def failed(self, reason: str) -> None:
        self.told.append(reason)

    def works(self) -> None:
        self.told.append("works")


class Process:
    """Has ended with a status."""

    def __init__(self, status: int) -> None:
        self.returncode = status

    async def wait(self) -> int:
        return self.returncode


class Api(EmbeddedAPI):
    """Starts as the test says: a status with which it will end, an error, or nothing more."""

    def __init__(self, condition: Condition, starts: list[int | Exception]) -> None:
        settings = EmbeddedAPISettings(state_dir=Path(), node_name="n", address="127.0.0.1", port=0)
        super().__init__(settings, condition)
        self.starts = starts
        self.done = asyncio.Event()

    @override
    async def start(self) -> None:
        if not self.starts:
            self.done.set()
            await asyncio.Event().wait()
        start = self.starts.pop(0)
        if isinstance(start, Exception):
            raise start
        process: Any = Process(start)
        self._process = process


async def test_it_is_told_how_the_process_fares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Down with its status, why it does not come up, and up again."""
    monkeypatch.setattr(standalone, "RESTART_SECONDS", 0)
    condition = Condition()
    api = Api(condition, [-9, 3, APINotStarted("no port"), 0])
    await api.start()
    watching = asyncio.create_task(api.watch())
    async with asyncio.timeout(20):
        await api.done.wait()
    watching.cancel()
    assert condition.told == [
        *("ended with status -9; is started again", "works"),
        *("ended with status 3; is started again", "no port"),
        *("ended with status 3; is started again", "works"),
        "ended with status 0; is started again",
    ]
