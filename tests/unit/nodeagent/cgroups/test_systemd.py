"""The systemd driver's D-Bus calls, over a real message bus, to a stand-in for systemd's manager that records them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from components import needs
from dbus_fast import Message, MessageType
from message_bus import BusUnderTest

from nodeagent.cgroups.systemd import SystemdSlices, limit_properties
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits

pytestmark = needs("dbus-daemon")

UNLIMITED = 2**64 - 1
SLICE = "/kubepods.slice/kubepods-burstable.slice"


@dataclass
class Manager:
    """Answers every job-making call with a job that ends with `result`, or with the error named `error`."""

    bus: BusUnderTest
    calls: list[tuple[str, list[Any]]] = field(default_factory=list)
    result: str = "done"
    error: str = ""
    silent: bool = False

    @property
    def address(self) -> str:
        return self.bus.address

    async def start(self) -> None:
        await self.bus.start(self._handle, "org.freedesktop.systemd1")

    def _handle(self, message: Message) -> Message | bool | None:
        if (
            message.message_type is not MessageType.METHOD_CALL
            or message.interface != "org.freedesktop.systemd1.Manager"
        ):
            return None
        assert message.member is not None
        if message.member != "Subscribe":
            self.calls.append((message.member, list(message.body)))
        if self.silent:
            return True
        if self.error and message.member != "Subscribe":
            return Message.new_error(message, self.error, "refused")
        if message.member in ("Subscribe", "SetUnitProperties"):
            return Message.new_method_return(message)
        job = f"/org/freedesktop/systemd1/job/{len(self.calls)}"
        asyncio.get_running_loop().call_soon(self._job_removed, job, message.body[0])
        return Message.new_method_return(message, "o", [job])

    def _job_removed(self, job: str, unit: str) -> None:
        signal = Message.new_signal(
            "/org/freedesktop/systemd1",
            "org.freedesktop.systemd1.Manager",
            "JobRemoved",
            "uoss",
            [1, job, unit, self.result],
        )
        self.bus.service.send(signal)


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    found = Manager(BusUnderTest(tmp_path))
    await found.start()
    yield found
    await found.bus.stop()


def plain(properties: list[list[Any]]) -> list[tuple[str, str, Any]]:
    return [(name, variant.signature, variant.value) for name, variant in properties]


async def test_a_slice_is_started_below_its_parent_with_its_limits(manager: Manager) -> None:
    """StartTransientUnit carries accounting, the parent slice and the limits, and returns when the job is done."""
    await SystemdSlices(2, manager.address).start(SLICE, CgroupLimits(cpu_shares=1024, pids_limit=5))
    ((member, body),) = manager.calls
    assert (member, body[0], body[1], body[3]) == ("StartTransientUnit", "kubepods-burstable.slice", "replace", [])
    assert plain(body[2]) == [
        ("Description", "s", "nodeagent container kubepods-burstable.slice"),
        ("Wants", "as", ["kubepods.slice"]),
        ("DefaultDependencies", "b", False),
        ("MemoryAccounting", "b", True),
        ("CPUAccounting", "b", True),
        ("TasksAccounting", "b", True),
        ("IOAccounting", "b", True),
        ("CPUWeight", "t", 39),
        ("TasksMax", "t", 5),
    ]


async def test_limits_of_a_live_slice_are_set_for_its_lifetime(manager: Manager) -> None:
    """SetUnitProperties is runtime-only; without limits nothing is called."""
    slices = SystemdSlices(1, manager.address)
    await slices.update(SLICE, CgroupLimits(hugetlb_bytes={"2MB": 0}))
    await slices.update(SLICE, CgroupLimits(cpu_shares=100))
    ((member, body),) = manager.calls
    assert (member, body[0], body[1], plain(body[2])) == (
        "SetUnitProperties",
        "kubepods-burstable.slice",
        True,
        [("CPUShares", "t", 100)],
    )


async def test_a_slice_is_stopped(manager: Manager) -> None:
    """StopUnit by the slice's name."""
    await SystemdSlices(2, manager.address).stop(SLICE)
    assert manager.calls == [("StopUnit", ["kubepods-burstable.slice", "replace"])]


@pytest.mark.parametrize(("verb", "error"), [("start", "UnitExists"), ("stop", "NoSuchUnit")])
async def test_what_is_done_already_is_fine(manager: Manager, verb: str, error: str) -> None:
    """A slice that exists, or that is gone, is no error."""
    manager.error = f"org.freedesktop.systemd1.{error}"
    slices = SystemdSlices(2, manager.address)
    await (slices.start(SLICE, CgroupLimits()) if verb == "start" else slices.stop(SLICE))


async def test_refusals_failed_jobs_and_silence_are_errors(manager: Manager) -> None:
    """Each is a CgroupError with what systemd said."""
    manager.error = "org.freedesktop.DBus.Error.AccessDenied"
    with pytest.raises(CgroupError, match="systemd: refused"):
        await SystemdSlices(2, manager.address).stop(SLICE)
    manager.error, manager.result = "", "failed"
    with pytest.raises(CgroupError, match=r"StopUnit of kubepods-burstable\.slice ended with result failed"):
        await SystemdSlices(2, manager.address).stop(SLICE)
    manager.silent = True
    with pytest.raises(CgroupError, match=r"did not answer within 0\.2s"):
        await SystemdSlices(2, manager.address, timeout_seconds=0.2).stop(SLICE)


async def test_a_machine_without_a_bus_is_an_error(tmp_path: Path) -> None:
    """No socket: the text says what could not be reached."""
    with pytest.raises(CgroupError, match="systemd cannot be reached over D-Bus"):
        await SystemdSlices(2, f"unix:path={tmp_path}/none").stop(SLICE)


@pytest.mark.parametrize(
    ("limits", "version", "expected"),
    [
        (CgroupLimits(cpu_shares=2), 1, [("CPUShares", 2)]),
        (CgroupLimits(cpu_shares=2), 2, [("CPUWeight", 1)]),
        (CgroupLimits(cpu_quota_us=-1), 2, [("CPUQuotaPerSecUSec", UNLIMITED)]),
        (CgroupLimits(cpu_quota_us=150_000, cpu_period_us=100_000), 2, [("CPUQuotaPerSecUSec", 1_500_000)]),
        # 12.34 % of a CPU is rounded up to 13 %
        (CgroupLimits(cpu_quota_us=12_340, cpu_period_us=100_000), 2, [("CPUQuotaPerSecUSec", 130_000)]),
        (
            CgroupLimits(cpu_quota_us=5_000, cpu_period_us=10_000),
            2,
            [("CPUQuotaPerSecUSec", 500_000), ("CPUQuotaPeriodUSec", 10_000)],
        ),
        (CgroupLimits(memory_limit_bytes=5), 1, [("MemoryLimit", 5)]),
        (CgroupLimits(memory_limit_bytes=-1), 2, [("MemoryMax", UNLIMITED)]),
        (CgroupLimits(pids_limit=-1), 2, [("TasksMax", UNLIMITED)]),
    ],
)
def test_limits_in_systemds_units(limits: CgroupLimits, version: int, expected: list[tuple[str, int]]) -> None:
    """Quotas per second of wall time in steps of 1 %, no limit as the largest number."""
    assert [(name, variant.value) for name, variant in limit_properties(limits, version)] == expected
