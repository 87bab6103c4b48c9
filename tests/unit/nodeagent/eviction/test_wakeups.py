"""The kernel's notices, and what is done without them."""

import asyncio
import contextlib
import errno
from pathlib import Path

import pytest

from nodeagent.eviction import wakeups
from nodeagent.eviction.wakeups import TRIGGERS, KernelWakeups
from runtimes.linux.cgroups.v1 import CgroupsV1


async def test_without_the_kernels_help(tmp_path: Path) -> None:
    """No PSI, no cgroup files, or files that are none: who waits looks when the time has come."""
    folder = tmp_path / "memory" / "a"
    folder.mkdir(parents=True)
    for name in ("memory.usage_in_bytes", "cgroup.event_control"):
        (folder / name).write_text("1\n")
    cgroups = CgroupsV1({"memory": tmp_path / "memory"})
    found = KernelWakeups(cgroups, ("/a", "/b"), headroom=lambda: 10, pressure=tmp_path / "none")
    found.start()
    async with asyncio.timeout(30):
        await found.wait(0.0)
    found.close()


@pytest.mark.parametrize(
    ("refused", "expected"),
    [(0, TRIGGERS[:1]), (errno.EINVAL, TRIGGERS), (errno.EPERM, TRIGGERS), (errno.EBUSY, TRIGGERS[:1])],
)
def test_who_may_not_ask_for_a_second_asks_for_two(
    monkeypatch: pytest.MonkeyPatch, refused: int, expected: tuple[bytes, ...]
) -> None:
    """Without CAP_SYS_RESOURCE; what is not refused for that is not asked again."""
    asked: list[bytes] = []

    def write(descriptor: int, trigger: bytes) -> int:
        asked.append(trigger)
        if refused and trigger == TRIGGERS[0]:
            raise OSError(refused, "no")
        return len(trigger)

    monkeypatch.setattr(wakeups.os, "write", write)
    with pytest.raises(OSError) if refused == errno.EBUSY else contextlib.nullcontext():
        wakeups._set_trigger(3)
    assert tuple(asked) == expected


async def test_looks_keep_their_distance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the kernel calls."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    found = KernelWakeups(CgroupsV1({"memory": tmp_path}), ("/a",), headroom=lambda: None, pressure=tmp_path / "no")
    found.start()
    await found.wait(0.0)
    monkeypatch.setattr(wakeups.asyncio, "sleep", sleep)
    found._wake()
    await found.wait(3600.0)
    monkeypatch.undo()
    found.close()
    assert len(pauses) == 1 and 0 < pauses[0] <= wakeups.SPACING_SECONDS
