"""The plugins that are registered, their devices, and what the Node shows of them.

registered ─> watched ─(stream ends)─> of unknown health ─(5 minutes)─> none; the resource stays, with 0
                 ▲                            │
                 └──────(registered again)────┘
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nodeagent.resources.devices.device import UNKNOWN, Device, Devices
from nodeagent.resources.devices.plugin import Plugin, PluginError
from nodeagent.resources.devices.state import DeviceState
from proto import deviceplugin_pb2 as api

log = logging.getLogger(__name__)

GRACE_SECONDS = 300.0  # how long the devices of a plugin that has gone are counted
Start = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


@dataclass(frozen=True, slots=True)
class Count:
    """All devices of a resource, and the healthy ones among them."""

    total: int
    healthy: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    plugin: Plugin
    options: api.DevicePluginOptions


class Inventory:
    """`changed`: with the resource whose devices have come, gone or changed their health. `start`: a task.

    Methods belong to the event loop.
    """

    def __init__(
        self,
        state: DeviceState,
        *,
        start: Start,
        changed: Callable[[str], None],
        connect: Callable[[Path], Plugin] = Plugin,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._state = state
        self._start = start
        self._changed = changed
        self._connect = connect
        self._grace_seconds = grace_seconds
        # a resource that an agent before knew counts 0 until its plugin comes back
        self._devices: dict[str, dict[str, Device]] = {name: {} for name in state.registered}
        self._endpoints: dict[str, Endpoint] = {}
        self._sockets: dict[str, Path] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def register(self, resource: str, socket: Path) -> None:
        """A plugin has come, or has come again. Returns at once."""
        log.info("device plugin of %s registers with %s", resource, socket)
        if (former := self._tasks.pop(resource, None)) is not None:
            former.cancel()
        self._devices.setdefault(resource, {})
        self._sockets[resource] = socket
        self._tasks[resource] = self._start(self._follow(resource, socket), f"device plugin of {resource}")

    def leave(self, resource: str, socket: Path) -> None:
        """A plugin has gone, whatever its stream says; unless another has come in its place."""
        if self._sockets.get(resource) == socket:
            del self._sockets[resource]
            self._tasks[resource].cancel()
            self._tasks[resource] = self._start(self._count_out(resource), f"device plugin of {resource} has gone")

    def knows(self, resource: str) -> bool:
        return resource in self._devices

    def resources(self) -> tuple[str, ...]:
        return tuple(self._devices)

    def devices(self, resource: str) -> Devices:
        return self._devices.get(resource, {})

    def endpoint(self, resource: str) -> Endpoint | None:
        """None: its plugin is not there."""
        return self._endpoints.get(resource)

    def counts(self) -> dict[str, Count]:
        return {
            name: Count(total=len(devices), healthy=sum(device.healthy for device in devices.values()))
            for name, devices in self._devices.items()
        }

    async def _follow(self, resource: str, socket: Path) -> None:
        plugin, own = self._connect(socket), None
        try:
            own = Endpoint(plugin, await plugin.options())
            self._endpoints[resource] = own
            async for devices in plugin.watch():
                self._set(resource, devices)
            log.warning("device plugin of %s has ended its stream", resource)
        except PluginError as error:
            log.warning("device plugin of %s: %s", resource, error)
        except Exception:  # a bug with one plugin is not to end the agent
            log.exception("device plugin of %s", resource)
        finally:
            if own is not None and self._endpoints.get(resource) is own:  # else it has registered anew
                del self._endpoints[resource]
            await plugin.close()
        await self._count_out(resource)

    async def _count_out(self, resource: str) -> None:
        gone = {id: replace(device, health=UNKNOWN) for id, device in self._devices[resource].items()}
        self._set(resource, gone)
        await asyncio.sleep(self._grace_seconds)
        self._set(resource, {})

    def _set(self, resource: str, devices: dict[str, Device]) -> None:
        if devices != self._devices[resource]:
            self._devices[resource] = devices
            self._state.set_registered(resource, sorted(id for id, device in devices.items() if device.healthy))
            self._changed(resource)
