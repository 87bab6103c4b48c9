"""How an evaluation is interrupted."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeagent.cli import isolation
from nodeagent.isolation.evaluation import Plan
from nodeagent.isolation.profiles import profile


@pytest.fixture
def plan() -> Plan:
    return Plan(runtimes={}, described={}, groups=(), program=Path("probe"), profile=profile("baseline"))


@pytest.fixture
def hang_up() -> Iterator[None]:
    """Its default, whoever runs the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_what_was_made_is_taken_away(monkeypatch: pytest.MonkeyPatch, plan: Plan, number: signal.Signals) -> None:
    """On Ctrl-C, a signal to end, a terminal that goes; a second one does not interrupt it."""
    done: list[str] = []

    async def evaluate(*_: Any) -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0)
            done.append("taken away")

    monkeypatch.setattr(isolation, "evaluate", evaluate)
    assert await isolation._until_told(plan) is None
    assert done == ["taken away"]


@pytest.mark.usefixtures("hang_up")
async def test_a_hang_up_that_is_ignored(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> None:
    """nohup: it goes on without its terminal."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def evaluate(*_: Any) -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        return "report"

    monkeypatch.setattr(isolation, "evaluate", evaluate)
    assert await isolation._until_told(plan) == "report"
