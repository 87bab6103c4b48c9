"""The driver's process: begun again whenever it ends, and what is told of that."""

import asyncio
import sys
from pathlib import Path

import pytest

from nodeagent.provisioner import driver_process
from nodeagent.provisioner.driver_process import DriverProcess, DriverSettings
from runtimes.linux.retry import RetryPolicy


class Condition:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.changed = asyncio.Event()

    def failed(self, reason: str) -> None:
        self.told.append(reason)
        self.changed.set()

    def works(self) -> None:
        self.told.append("works")
        self.changed.set()


def settings(folder: Path) -> DriverSettings:
    return DriverSettings(
        name="d.example",
        node_name="n1",
        state_dir=folder / "state",
        socket=folder / "csi.sock",
        registration=folder / "reg.sock",
    )


async def test_one_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends again and again: each time that is told, and never that it works."""
    monkeypatch.setattr(driver_process, "_AGAIN", RetryPolicy(first_seconds=0.0))
    monkeypatch.setattr(driver_process.sys, "executable", "/bin/false")
    condition = Condition()
    process = DriverProcess(settings(tmp_path), condition)
    running = asyncio.create_task(process.run())
    while len(condition.told) < 2:
        condition.changed.clear()
        await condition.changed.wait()
    running.cancel()
    await asyncio.wait({running})
    await process.stop()
    assert set(condition.told) == {"ended with status 1; is started again"}


async def test_one_that_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is said to work after a while, and ends when it is told to."""
    monkeypatch.setattr(driver_process, "STEADY_SECONDS", 0.0)
    script = tmp_path / "driver"
    script.write_text(f"#!{sys.executable}\nimport signal\nsignal.pause()\n")
    script.chmod(0o755)
    monkeypatch.setattr(driver_process.sys, "executable", str(script))
    condition = Condition()
    process = DriverProcess(settings(tmp_path), condition)
    running = asyncio.create_task(process.run())
    await condition.changed.wait()
    running.cancel()
    await asyncio.wait({running})
    await process.stop()
    assert condition.told == ["works"]
