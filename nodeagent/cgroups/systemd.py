"""Slices of systemd, made over D-Bus, for machines where systemd owns the cgroup tree (driver `systemd`).

A slice is a transient unit with its limits as properties, so that systemd does not write other ones when it reloads; the
files that have no property are then written as everywhere else. Source: docs/facts/node-resources.md 2.1,
systemd.resource-control(5).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import PurePosixPath

from dbus_fast import Variant

from runtimes.linux import dbus
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits
from runtimes.linux.cgroups.units import DEFAULT_PERIOD_US, cpu_weight

_MANAGER = dbus.Remote(
    service="org.freedesktop.systemd1",
    path="/org/freedesktop/systemd1",
    interface="org.freedesktop.systemd1.Manager",
)
_TIMEOUT_SECONDS = 30.0
_UNIT_EXISTS = "org.freedesktop.systemd1.UnitExists"
_NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"
_UNLIMITED = 2**64 - 1
# systemd keeps CPU quotas in steps of 1 % of a CPU
_QUOTA_STEP_US = 10_000
Property = tuple[str, Variant]


class SystemdSlices:
    """`address`: of the bus; None: the system's. A connection is made for each call: calls are rare, a bus may restart."""

    def __init__(self, version: int, address: str | None = None, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._version = version
        self._address = address
        self._timeout_seconds = timeout_seconds

    async def start(self, path: str, limits: CgroupLimits) -> None:
        name = unit_name(path)
        properties = [*slice_properties(path, self._version), *limit_properties(limits, self._version)]
        await self._job("StartTransientUnit", "ssa(sv)a(sa(sv))", [name, "replace", properties, []], _UNIT_EXISTS)

    async def update(self, path: str, limits: CgroupLimits) -> None:
        properties = limit_properties(limits, self._version)
        if not properties:
            return
        async with self._bus() as bus:
            # runtime only: the unit is as transient as the pod
            await bus.call(_MANAGER, "SetUnitProperties", "sba(sv)", [unit_name(path), True, properties])

    async def stop(self, path: str) -> None:
        await self._job("StopUnit", "ss", [unit_name(path), "replace"], _NO_SUCH_UNIT)

    async def _job(self, member: str, signature: str, body: list[object], fine: str) -> None:
        """Call, and wait for the job that it answers. An error named `fine` is none."""
        async with self._bus() as bus, bus.signals(_MANAGER, "JobRemoved") as removed:
            await bus.call(_MANAGER, "Subscribe")
            try:
                (job,) = (await bus.call(_MANAGER, member, signature, body)).body
            except dbus.Refused as error:
                if error.name == fine:
                    return
                raise
            async for _, ended, _, result in removed:
                if ended == job and result in ("done", "skipped"):
                    return
                if ended == job:
                    raise CgroupError(f"systemd: {member} of {body[0]} ended with result {result}")

    @contextlib.asynccontextmanager
    async def _bus(self) -> AsyncIterator[dbus.Bus]:
        """All of it within one deadline, jobs too. Raises CgroupError."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                async with dbus.connected(self._address, timeout_seconds=self._timeout_seconds) as bus:
                    yield bus
        except (TimeoutError, dbus.NoAnswer) as error:
            raise CgroupError(f"systemd did not answer within {self._timeout_seconds:g}s") from error
        except dbus.Unreachable as error:
            raise CgroupError(f"systemd cannot be reached over D-Bus: {error}") from error
        except dbus.Refused as error:
            raise CgroupError(f"systemd: {error}") from error


def unit_name(path: str) -> str:
    """The slice that a path ends in."""
    return PurePosixPath(path).name


def slice_properties(path: str, version: int) -> list[Property]:
    """What makes a unit a pod's slice: below its parent, with everything counted."""
    name = unit_name(path)
    parent = unit_name(str(PurePosixPath(path).parent))
    properties: list[Property] = [
        ("Description", Variant("s", f"nodeagent container {name}")),
        ("DefaultDependencies", Variant("b", False)),
        ("MemoryAccounting", Variant("b", True)),
        ("CPUAccounting", Variant("b", True)),
        ("TasksAccounting", Variant("b", True)),
        ("IOAccounting" if version == 2 else "BlockIOAccounting", Variant("b", True)),
    ]
    if parent:
        properties.insert(1, ("Wants", Variant("as", [parent])))
    return properties


def limit_properties(limits: CgroupLimits, version: int) -> list[Property]:
    """Limits in systemd's names and units."""
    properties: list[Property] = []
    if limits.cpu_shares is not None:
        if version == 2:
            properties.append(("CPUWeight", Variant("t", cpu_weight(limits.cpu_shares))))
        else:
            properties.append(("CPUShares", Variant("t", limits.cpu_shares)))
    if limits.cpu_quota_us is not None:
        properties.append(("CPUQuotaPerSecUSec", Variant("t", _quota_per_second_us(limits))))
        period_us = limits.cpu_period_us or DEFAULT_PERIOD_US
        if period_us != DEFAULT_PERIOD_US:
            properties.append(("CPUQuotaPeriodUSec", Variant("t", period_us)))
    if limits.memory_limit_bytes is not None:
        name = "MemoryMax" if version == 2 else "MemoryLimit"
        properties.append((name, Variant("t", _limit(limits.memory_limit_bytes))))
    if limits.pids_limit is not None:
        properties.append(("TasksMax", Variant("t", _limit(limits.pids_limit))))
    return properties


def _limit(amount: int) -> int:
    return amount if amount >= 0 else _UNLIMITED


def _quota_per_second_us(limits: CgroupLimits) -> int:
    quota_us, period_us = limits.cpu_quota_us or -1, limits.cpu_period_us or DEFAULT_PERIOD_US
    if quota_us < 0:
        return _UNLIMITED
    per_second_us = quota_us * 1_000_000 // period_us
    return -(-per_second_us // _QUOTA_STEP_US) * _QUOTA_STEP_US
