"""nodeagent.cgroups.upkeep: what is held, and what is told of it."""

import asyncio
from typing import Any

import pytest

from nodeagent.cgroups.upkeep import CgroupUpkeep
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits

UPDATED = ("Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods")
BUSY = "Failed to update Node Allocatable limit across pods: device or resource busy"
FAILED = ("Warning", "FailedNodeAllocatableEnforcement", BUSY)


class Kernel:
    """Cgroups and events in one diary."""

    def __init__(self) -> None:
        self.diary: list[Any] = []
        self.busy = False

    async def start(self, limits: CgroupLimits) -> None:
        if self.busy:
            raise CgroupError("device or resource busy")
        self.diary.append(limits.pids_limit)

    async def refresh(self) -> None:
        self.diary.append("classes")

    def node_event(self, type: str, reason: str, message: str) -> None:
        self.diary.append((type, reason, message))


def upkeep(kernel: Any, enforced: bool = True) -> CgroupUpkeep:
    limits = CgroupLimits(pids_limit=7)
    return CgroupUpkeep(kernel, limits, refresh_classes=kernel.refresh, events=kernel, enforced=enforced)


async def test_every_pass_writes_and_news_are_told_once() -> None:
    """The limits and the classes each time; an event for the first success, for a new failure, and for the success after it."""
    kernel = Kernel()
    held = upkeep(kernel)
    for busy in (False, False, True, True, False):
        kernel.busy = busy
        await held.hold()
    assert kernel.diary == [7, "classes", UPDATED, 7, "classes", FAILED, 7, "classes", UPDATED]


async def test_what_is_not_enforced_is_not_told_as_such() -> None:
    """A node that gives pods all it has says nothing of allocatable."""
    kernel = Kernel()
    await upkeep(kernel, enforced=False).hold()
    assert kernel.diary == [7, "classes"]


async def test_it_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every minute anew, until it is cancelled."""
    kernel = Kernel()
    kernel.busy = True
    passes = 0

    async def sleep(seconds: float) -> None:
        nonlocal passes
        passes += 1
        kernel.busy = False
        assert seconds == 60.0
        if passes == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr("nodeagent.cgroups.upkeep.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await upkeep(kernel).run()
    assert kernel.diary == [FAILED, 7, "classes", UPDATED]
