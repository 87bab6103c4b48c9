"""What a type of plugins does with those that come and go. The registry is the only caller."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CSI_PLUGIN, DEVICE_PLUGIN, DRA_PLUGIN = "CSIPlugin", "DevicePlugin", "DRAPlugin"


class PluginRefused(Exception):
    """The plugin cannot be used, or not now. It is told the text, and asked again later."""


class HandshakeFailed(Exception):
    """The plugin did not answer, or not so that it can be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """What a plugin says of itself, as it came: nothing of it has been checked.

    `endpoint`: where its own service listens, the registration socket where it names none. `socket`: the registration socket,
    by which a plugin is told from another that calls itself the same.
    """

    type: str
    name: str
    endpoint: str
    versions: tuple[str, ...]
    socket: Path


class PluginHandler(Protocol):
    """One type of plugins. Verbs on one plugin follow each other; on different ones they run concurrently."""

    def validate(self, plugin: Plugin) -> None:
        """Whether such a plugin can be used at all. From memory. Raises PluginRefused."""
        ...

    async def register(self, plugin: Plugin) -> None:
        """Take the plugin into use. Its calls have deadlines. A cancelled or failed one is followed by `deregister`.

        Raises PluginRefused.
        """
        ...

    async def deregister(self, plugin: Plugin) -> None:
        """Undo `register`, or half of it: the plugin is gone. It may have been replaced by another of its name meanwhile, which
        is not touched. What cannot be undone now is the handler's to do later. Raises nothing.
        """
        ...
