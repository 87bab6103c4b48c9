"""How many volumes a driver can have on this node changes with what else is attached to the machine: it is asked again now and
then, where its CSIDriver object says so. Source: docs/facts/storage.md 1.5, 10.1.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Protocol

from csi.errors import CSIError
from csi.values import NodeInfo
from nodeagent.volumes.csi.driver_specs import DriverSpecs
from nodeagent.volumes.csi.drivers import Driver, Drivers
from nodeagent.volumes.csi.registration import NodeRecordFailed

log = logging.getLogger(__name__)


class Recounted(Protocol):
    async def recount(self, driver: str, info: NodeInfo) -> None:
        """Raises NodeRecordFailed."""
        ...


class Recounting:
    """`changed` is to be called when drivers or their objects have changed."""

    def __init__(
        self, drivers: Drivers, specs: DriverSpecs, records: Recounted, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._drivers = drivers
        self._specs = specs
        self._records = records
        self._clock = clock
        self._woken = asyncio.Event()
        self._due: dict[str, float] = {}

    def changed(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            pause_seconds = await self.once()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await self._woken.wait()

    async def once(self) -> float | None:
        """Ask those that are due. Returns the seconds until the next is; None: nobody will be."""
        now, due = self._clock(), dict[str, float]()
        for driver in self._drivers.all():
            period_seconds = self._specs.known(driver.name).recount_seconds
            if period_seconds is None:
                continue
            due[driver.name] = self._due.get(driver.name, now + period_seconds)
            if due[driver.name] <= now:
                await self.ask(driver)
                due[driver.name] = now + period_seconds
        self._due = due
        return max(min(due.values()) - self._clock(), 0.0) if due else None

    async def recount(self, name: str) -> None:
        """Ask one driver now, if it is there."""
        if (driver := self._drivers.find(name)) is not None:
            await self.ask(driver)

    async def ask(self, driver: Driver) -> None:
        """A failure is logged: the next time will do."""
        try:
            await self._records.recount(driver.name, await driver.client.node.info())
        except (CSIError, NodeRecordFailed) as error:
            log.info("how many volumes driver %s can have is not known any better: %s", driver.name, error)
