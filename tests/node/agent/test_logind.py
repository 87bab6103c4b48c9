"""systemd's own logind, as the agent speaks to it: what `tests/support/logind.py` stands in for elsewhere."""

import asyncio
import os
from pathlib import Path

import pytest
from components import needs
from real_logind import PROGRAM, real_logind

from nodeagent.shutdown.logind import LOGIN1, Logind
from runtimes.linux.dbus import connected

pytestmark = [pytest.mark.node, needs("dbus-daemon", PROGRAM), pytest.mark.timeout(120)]


async def test_a_shutdown_waits_for_the_lock(tmp_path: Path) -> None:
    """logind reads the longer delay from the drop-in when it is told to; a shutdown is announced, and does not begin while the
    lock is held; when it is given back, it begins at once; when it does not take place after all, that is said, too."""
    async with real_logind(tmp_path) as machine, connected(machine.bus.address) as bus, asyncio.timeout(60):
        logind = Logind(bus)
        assert await logind.delay_seconds() == 5
        await logind.ask_for_delay(1800, machine.drop_ins)
        while await logind.delay_seconds() != 1800:  # it reads it after the signal, and nobody says when  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        async with logind.shutdowns() as signals:
            lock = await logind.inhibit()
            assert not await logind.preparing()
            await bus.call(LOGIN1, "PowerOff", "b", [False])
            assert await anext(signals) == [True]
            assert await logind.preparing()
            assert machine.started == []
            os.close(lock)
            await machine.asked.wait()
            assert machine.started == ["poweroff.target"]
            machine.job_ends()
            assert await anext(signals) == [False]
            assert not await logind.preparing()
