"""Plugins of the node: who takes which type of them."""

from nodeagent.assembly.csi import CSI
from nodeagent.assembly.running import Scope
from nodeagent.folders import Folders
from nodeagent.plugin_registration.contract import CSI_PLUGIN
from nodeagent.plugin_registration.registry import FOLDER, PluginRegistry


async def start_plugin_registry(scope: Scope, folders: Folders, csi: CSI | None) -> PluginRegistry:
    """A type of plugins is one entry here."""
    handlers = {CSI_PLUGIN: csi.registration} if csi is not None else {}
    registry = PluginRegistry(folders.root / FOLDER, handlers, scope.trouble)
    scope.loop(registry.run, "plugin registry")
    return registry
