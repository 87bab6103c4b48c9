"""Plugins of the node: who takes which type of them."""

from nodeagent.assembly.csi import CSI
from nodeagent.assembly.dra import DRA
from nodeagent.assembly.running import Scope
from nodeagent.folders import Folders
from nodeagent.plugin_registration.contract import CSI_PLUGIN, DEVICE_PLUGIN, DRA_PLUGIN, PluginHandler
from nodeagent.plugin_registration.registry import FOLDER, PluginRegistry
from nodeagent.resources.devices.manager import DeviceManager


async def start_plugin_registry(
    scope: Scope, folders: Folders, devices: DeviceManager, dra: DRA, csi: CSI | None
) -> PluginRegistry:
    """A type of plugins is one entry here."""
    handlers: dict[str, PluginHandler] = {DEVICE_PLUGIN: devices.registration, DRA_PLUGIN: dra.drivers}
    if csi is not None:
        handlers[CSI_PLUGIN] = csi.registration
    registry = PluginRegistry(folders.root / FOLDER, handlers, scope.trouble)
    scope.loop(registry.run, "plugin registry")
    return registry
