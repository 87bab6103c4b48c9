"""CSI drivers among the plugins that register: which are taken, and what the node's objects say of them.

Source: docs/facts/storage.md 10.1.
"""

import functools
from collections.abc import Callable
from typing import Protocol

from csi import values
from csi.client import Client
from csi.endpoint import Endpoint
from csi.errors import CSIError, as_go, presentable
from csi.values import NodeInfo
from nodeagent.plugin_registration.contract import Plugin, PluginRefused
from nodeagent.volumes.csi import versions
from nodeagent.volumes.csi.drivers import Driver, Drivers
from nodeagent.volumes.csi.versions import Version
from proto import csi_pb2 as csi


class NodeRecordFailed(Exception):
    """The API could not be told."""


class NodeRecords(Protocol):
    """What the API knows of the drivers of this node (`node_records`)."""

    async def add(self, driver: str, info: NodeInfo) -> None:
        """Raises NodeRecordFailed."""
        ...

    def remove(self, driver: str) -> None:
        """As soon as it can be done."""
        ...


class DriverRegistration:
    """A `PluginHandler`. `changed` is called when a driver has come, `ended(driver, method, code, seconds)` after every call."""

    def __init__(
        self,
        drivers: Drivers,
        records: NodeRecords,
        changed: Callable[[], None],
        ended: Callable[[str, str, str, float], None],
    ) -> None:
        self._drivers = drivers
        self._records = records
        self._changed = changed
        self._ended = ended

    def validate(self, plugin: Plugin) -> None:
        """Raises PluginRefused."""
        try:
            self._driver_of(plugin)
        except PluginRefused as error:
            self._drivers.refuse(plugin.name, str(error))
            raise

    async def register(self, plugin: Plugin) -> None:
        """Raises PluginRefused."""
        driver = self._driver_of(plugin)
        self._drivers.add(driver)
        try:
            await self._records.add(driver.name, await driver.client.node.info())
        except CSIError as error:
            raise self._refused(plugin, f"error during CSI NodeGetInfo() call: {as_go(error)}") from error
        except NodeRecordFailed as error:
            text = "error updating Node and CSINode objects with CSI driver node info"
            raise self._refused(plugin, f"{text}: {error}") from error
        self._drivers.ready(driver.name)
        self._changed()

    async def deregister(self, plugin: Plugin) -> None:
        found = self._drivers.find(plugin.name)
        if found is not None and found.socket == plugin.socket:
            self._drivers.remove(plugin.name)
            self._records.remove(plugin.name)

    def _refused(self, plugin: Plugin, why: str) -> PluginRefused:
        self._drivers.refuse(plugin.name, why)
        return PluginRefused(why)

    def _driver_of(self, plugin: Plugin) -> Driver:
        """Raises PluginRefused."""
        try:
            values.Plugin.of(csi.GetPluginInfoResponse(name=plugin.name))
            client = Client(Endpoint(plugin.endpoint, ended=functools.partial(self._ended, plugin.name)))
        except (CSIError, ValueError) as error:
            raise PluginRefused(f"CSI driver {presentable(plugin.name[:80])!r} failed: {error}") from error
        return Driver(name=plugin.name, client=client, version=self._version(plugin), socket=plugin.socket)

    def _version(self, plugin: Plugin) -> Version:
        if not plugin.versions:
            why = "Plugin returned an empty list for supported versions"
            raise PluginRefused(f'CSI driver "{plugin.name}" failed. {why}')
        version = versions.highest(plugin.versions)
        if version is None:
            shown = presentable(" ".join(f'"{each[:32]}"' for each in plugin.versions[:16]))
            why = f"None of the versions specified [{shown}] are supported: a 1.x version is needed"
            raise PluginRefused(f'CSI driver "{plugin.name}" failed. {why}')
        other = self._drivers.find(plugin.name)
        if other is not None and other.socket != plugin.socket and other.version >= version:
            why = "Another driver with the same name is already registered with a higher supported version"
            raise PluginRefused(f'CSI driver "{plugin.name}" failed. {why}: "{versions.shown(other.version)}"')
        return version
