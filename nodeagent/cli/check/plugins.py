"""Plugins of the node: who has left a socket to register by, and answers there."""

import asyncio
from pathlib import Path

from csi.client import Client
from csi.errors import CSIError, presentable
from nodeagent.cli.check.finding import Finding, degraded, found
from nodeagent.plugin_registration.contract import CSI_PLUGIN, HandshakeFailed
from nodeagent.plugin_registration.handshake import connected
from nodeagent.plugin_registration.sockets import find

_ASK_SECONDS = 3.0
_GROUP = "plugins"
_FIX = "start the plugin again, or remove what it has left"


async def examine(folder: Path) -> list[Finding]:
    """`folder`: the agent's `plugins_registry`. Nothing there is fine: pods may do without."""
    try:
        sockets = sorted(find(folder).sockets)
    except OSError:
        return []
    return list(await asyncio.gather(*(_plugin(socket, str(socket.relative_to(folder))) for socket in sockets)))


async def _plugin(socket: Path, name: str) -> Finding:
    try:
        async with connected(socket, connect_seconds=_ASK_SECONDS) as talk:
            plugin = await talk.ask()
    except HandshakeFailed as error:
        return degraded(_GROUP, presentable(name), str(error), _FIX)
    shown = f"{presentable(plugin.name)} ({presentable(plugin.type)})"
    where = presentable(plugin.endpoint)
    if plugin.type == CSI_PLUGIN:
        try:
            await Client.at(plugin.endpoint, deadline_seconds=_ASK_SECONDS).node.info()
        except (CSIError, ValueError) as error:
            return degraded(_GROUP, shown, f"{where}: {error}", "look at the log of the driver's pod")
    return found(_GROUP, shown, where)
