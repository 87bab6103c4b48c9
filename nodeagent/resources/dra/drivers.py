"""The DRA drivers that are registered, and what is done while one is here, and after it has gone.

registered ─> its health is followed ─> gone ─(30 s, unless another of its name has come)─> its ResourceSlices are removed

Source: docs/facts/node-resources.md 12.3.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from nodeagent.plugin_registration.contract import Plugin, PluginHandler, PluginRefused
from nodeagent.resources.dra.driver import HEALTH, V1, V1BETA1, CallObserver, Driver, DriverError, NoHealth
from nodeagent.resources.dra.health import Health
from nodeagent.resources.dra.slices import Slices
from runtimes.kube import names

log = logging.getLogger(__name__)

GONE_SECONDS = 30.0
RECONNECT_SECONDS = 5.0
Start = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
Connect = Callable[[str, Path, Sequence[str], CallObserver], Driver]


class NotRegistered(Exception):
    """There is no such driver on the node."""

    def __init__(self, name: str) -> None:
        super().__init__(f"DRA driver {name} is not registered")


class Drivers(PluginHandler):
    """Several of one name may be here while one replaces another: the newest is asked. Belongs to the event loop.

    `slices` None: a node without an API. `start`: a task.
    """

    def __init__(
        self,
        *,
        start: Start,
        health: Health,
        slices: Slices | None,
        observe: CallObserver,
        connect: Connect = Driver,
        gone_seconds: float = GONE_SECONDS,
        reconnect_seconds: float = RECONNECT_SECONDS,
    ) -> None:
        self._start = start
        self._health = health
        self._slices = slices
        self._observe = observe
        self._connect = connect
        self._gone_seconds = gone_seconds
        self._reconnect_seconds = reconnect_seconds
        self._here: dict[str, dict[Path, Driver]] = {}  # the newest last
        self._following: dict[Path, asyncio.Task[None]] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}

    def get(self, name: str) -> Driver:
        """Raises NotRegistered."""
        here = self._here.get(name)
        if not here:
            raise NotRegistered(name)
        return next(reversed(here.values()))

    @override
    def validate(self, plugin: Plugin) -> None:
        if problems := names.dns1123_subdomain(plugin.name):
            raise PluginRefused(f"invalid DRA driver name: {problems[0]}")
        if not {V1, V1BETA1} & set(plugin.versions):
            told = ", ".join(plugin.versions)
            raise PluginRefused(f"none of the DRA gRPC services of {plugin.name} is {V1} or {V1BETA1}: {told}")

    @override
    async def register(self, plugin: Plugin) -> None:
        if (leaving := self._leaving.pop(plugin.name, None)) is not None:
            leaving.cancel()
        driver = self._connect(plugin.name, Path(plugin.endpoint), plugin.versions, self._observe)
        self._here.setdefault(plugin.name, {})[plugin.socket] = driver
        if HEALTH in plugin.versions:
            task = self._start(self._follow(driver), f"health of {plugin.name}")
            self._following[plugin.socket] = task

    @override
    async def deregister(self, plugin: Plugin) -> None:
        here = self._here.get(plugin.name, {})
        if (task := self._following.pop(plugin.socket, None)) is not None:
            task.cancel()
        if (driver := here.pop(plugin.socket, None)) is None:
            return
        await driver.close()
        if not here:
            self._here.pop(plugin.name, None)
            name = f"ResourceSlices of {plugin.name}"
            self._leaving[plugin.name] = self._start(self._remove_slices(plugin.name, self._gone_seconds), name)

    async def run(self) -> None:
        """At the agent's start: nobody is to be given what drivers offered before, until they are back and offer it anew."""
        await self._remove_slices("", 0)

    async def _remove_slices(self, driver: str, after_seconds: float) -> None:
        delay = after_seconds
        while True:
            await asyncio.sleep(delay)
            if self._slices is None or await self._slices.remove(driver):
                return
            delay = self._reconnect_seconds

    async def _follow(self, driver: Driver) -> None:
        while True:
            try:
                async for devices in driver.watch_health():
                    self._health.told(driver.name, devices)
                log.info("DRA driver %s has ended its health stream", driver.name)
            except NoHealth:
                return
            except DriverError as error:
                log.warning("health of DRA driver %s: %s", driver.name, error)
            except Exception:  # a bug with one driver is not to end the agent
                log.exception("health of DRA driver %s", driver.name)
            await asyncio.sleep(self._reconnect_seconds)
