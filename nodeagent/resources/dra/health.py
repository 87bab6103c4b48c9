"""The health of drivers' devices: what was told last, for as long as it holds. Kept in `dra_health_state` across restarts.

Source: docs/facts/node-resources.md 12.3.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from nodeagent.resources.checkpoint import Saver
from nodeagent.resources.devices.device import HEALTHY, UNHEALTHY, UNKNOWN
from proto import dra_health_pb2 as api
from runtimes.kube.json_errors import UNREADABLE

log = logging.getLogger(__name__)

FILE = "dra_health_state"
HOLDS_SECONDS = 30.0
MAX_MESSAGE = 1024  # characters
_WORDS = {api.HEALTHY: HEALTHY, api.UNHEALTHY: UNHEALTHY}


class DeviceHealth(msgspec.Struct, frozen=True, kw_only=True):
    """`until`: Unix seconds; the word does not hold any longer."""

    status: str = msgspec.field(name="Health")
    message: str = msgspec.field(name="Message", default="")
    until: float = msgspec.field(name="Until")


_Known = dict[str, dict[str, DeviceHealth]]  # driver -> <pool>/<device>
_NOT_KNOWN = DeviceHealth(status=UNKNOWN, until=0.0)


class _File(msgspec.Struct):
    drivers: _Known


class Health:
    """Methods belong to the event loop. `now`: Unix seconds."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._path = folder / FILE
        self._now = now
        self._known: _Known = {}
        self._shown: _Known = {}  # as `changes` has told of them
        self._saver = Saver(self._path, lambda: _File(self._known))
        self._told = asyncio.Event()

    def load(self) -> None:
        """What cannot be read is not known: drivers tell it anew. Raises nothing."""
        try:
            self._known = msgspec.json.decode(self._path.read_bytes(), type=_File).drivers
        except (OSError, *UNREADABLE):
            self._known = {}

    async def run(self, changed: Callable[[frozenset[tuple[str, str]]], None]) -> None:
        """Tell of devices whose health is another, (driver, <pool>/<device>), as it happens. Until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.next_end()):
                    await self._told.wait()
            self._told.clear()
            if found := self.changes():
                changed(found)
            try:
                await self._saver.save()
            except OSError as error:
                log.warning("the health of devices is not on the disk: %s", error)

    def told(self, driver: str, devices: Iterable[api.DeviceHealth]) -> None:
        """All that a driver says now. Of what it leaves out holds what it said before, until that is over."""
        own = self._known.setdefault(driver, {})
        for each in devices:
            own[f"{each.device.pool_name}/{each.device.device_name}"] = DeviceHealth(
                status=_WORDS.get(each.health, UNKNOWN),
                message=_cut(each.message),
                until=self._now() + (each.health_check_timeout_seconds or HOLDS_SECONDS),
            )
        self._saver.changed()
        self._told.set()

    def of(self, driver: str, pool: str, device: str) -> DeviceHealth:
        found = self._known.get(driver, {}).get(f"{pool}/{device}")
        return found if found is not None and found.until > self._now() else _NOT_KNOWN

    def changes(self) -> frozenset[tuple[str, str]]:
        """(driver, <pool>/<device>) of all whose health is another than at the last call, by what was told or by time."""
        now = {
            driver: {key: self.of(driver, *key.split("/", 1)) for key in devices}
            for driver, devices in self._known.items()
        }
        before, self._shown = self._shown, now
        self._forget(now)
        return frozenset(
            (driver, key)
            for driver, devices in now.items()
            for key, health in devices.items()
            if _word(health) != _word(before.get(driver, {}).get(key, _NOT_KNOWN))
        )

    def _forget(self, now: _Known) -> None:
        """Of what does not hold any more there is nothing to keep; the device may be gone for good."""
        for driver, devices in now.items():
            for key in (key for key, health in devices.items() if health is _NOT_KNOWN):
                del self._known[driver][key]
                self._saver.changed()
            if not self._known[driver]:
                del self._known[driver]

    def next_end(self) -> float | None:
        """Seconds until a word that holds now does not hold any more; None: there is none."""
        ends = [each.until - self._now() for own in self._known.values() for each in own.values()]
        return min((left for left in ends if left > 0), default=None)


def _word(health: DeviceHealth) -> tuple[str, str]:
    return health.status, health.message


def _cut(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 3]}..."
