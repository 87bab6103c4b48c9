"""Slices of systemd, made over D-Bus, for machines where systemd owns the cgroup tree (driver `systemd`).

A slice is a transient unit with its limits as properties, so that systemd does not write other ones when it reloads; the
files that have no property are then written as everywhere else. Source: facts/node-resources.md 2.1, systemd.resource-control(5).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import PurePosixPath

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits
from runtimes.linux.cgroups.units import cpu_weight

_SERVICE = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_TIMEOUT_SECONDS = 30.0
_UNIT_EXISTS = "org.freedesktop.systemd1.UnitExists"
_NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"
_UNLIMITED = 2**64 - 1
_DEFAULT_PERIOD_US = 100_000
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
        async with self._manager() as bus:
            # runtime only: the unit is as transient as the pod
            await _call(bus, "SetUnitProperties", "sba(sv)", [unit_name(path), True, properties])

    async def stop(self, path: str) -> None:
        await self._job("StopUnit", "ss", [unit_name(path), "replace"], _NO_SUCH_UNIT)

    async def _job(self, member: str, signature: str, body: list[object], fine: str) -> None:
        """Call, and wait for the job that it answers. An error named `fine` is none."""
        async with self._manager() as bus:
            ended: dict[str, str] = {}
            news = asyncio.Event()

            def on_message(message: Message) -> None:
                if message.message_type is MessageType.SIGNAL and message.member == "JobRemoved":
                    _, job, _, result = message.body
                    ended[job] = result
                    news.set()

            bus.add_message_handler(on_message)
            await _call(bus, "Subscribe", "", [])
            await _add_match(bus)
            try:
                (job,) = await _call(bus, member, signature, body)
            except _BusError as error:
                if error.name == fine:
                    return
                raise
            while job not in ended:
                news.clear()
                await news.wait()
            if ended[job] not in ("done", "skipped"):
                raise CgroupError(f"systemd: {member} of {body[0]} ended with result {ended[job]}")

    @contextlib.asynccontextmanager
    async def _manager(self) -> AsyncIterator[MessageBus]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                bus = await MessageBus(bus_address=self._address, bus_type=BusType.SYSTEM).connect()
                try:
                    yield bus
                finally:
                    bus.disconnect()
        except TimeoutError as error:
            raise CgroupError(f"systemd did not answer within {self._timeout_seconds:g}s") from error
        except CgroupError:
            raise
        except (OSError, EOFError) as error:
            raise CgroupError(f"systemd cannot be reached over D-Bus: {error}") from error


class _BusError(CgroupError):
    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"systemd: {text or name}")
        self.name = name


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
        period_us = limits.cpu_period_us or _DEFAULT_PERIOD_US
        if period_us != _DEFAULT_PERIOD_US:
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
    quota_us, period_us = limits.cpu_quota_us or -1, limits.cpu_period_us or _DEFAULT_PERIOD_US
    if quota_us < 0:
        return _UNLIMITED
    per_second_us = quota_us * 1_000_000 // period_us
    return -(-per_second_us // _QUOTA_STEP_US) * _QUOTA_STEP_US


async def _call(bus: MessageBus, member: str, signature: str, body: list[object]) -> list[object]:
    """Raises _BusError."""
    answer = await bus.call(
        Message(destination=_SERVICE, path=_PATH, interface=_MANAGER, member=member, signature=signature, body=body)
    )
    return _checked(answer)


async def _add_match(bus: MessageBus) -> None:
    rule = f"type='signal',interface='{_MANAGER}',member='JobRemoved'"
    answer = await bus.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="AddMatch",
            signature="s",
            body=[rule],
        )
    )
    _checked(answer)


def _checked(answer: Message | None) -> list[object]:
    if answer is None:
        raise CgroupError("systemd: no answer")
    if answer.message_type is MessageType.ERROR:
        raise _BusError(answer.error_name or "", " ".join(map(str, answer.body)))
    return list(answer.body)
