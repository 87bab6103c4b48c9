"""Device plugins that are found by the watched folder of plugins, beside those that register by themselves.

Source: docs/facts/node-resources.md 12.1.
"""

from pathlib import Path
from typing import Protocol

from typing_extensions import override

from nodeagent.plugin_registration.contract import Plugin, PluginHandler, PluginRefused
from nodeagent.resources.devices.registration import VERSION, is_extended


class Registered(Protocol):
    """The plugins that are registered (`inventory.Inventory`)."""

    def register(self, resource: str, socket: Path) -> None: ...

    def leave(self, resource: str, socket: Path) -> None: ...


class DevicePluginHandler(PluginHandler):
    """A plugin's name is that of its resource."""

    def __init__(self, plugins: Registered) -> None:
        self._plugins = plugins

    @override
    def validate(self, plugin: Plugin) -> None:
        if VERSION not in plugin.versions:
            raise PluginRefused(
                f"device plugin of {plugin.name}: none of its versions is {VERSION}: {', '.join(plugin.versions)}"
            )
        if not is_extended(plugin.name):
            raise PluginRefused(f'the ResourceName "{plugin.name}" is invalid')

    @override
    async def register(self, plugin: Plugin) -> None:
        self._plugins.register(plugin.name, Path(plugin.endpoint))

    @override
    async def deregister(self, plugin: Plugin) -> None:
        self._plugins.leave(plugin.name, Path(plugin.endpoint))
