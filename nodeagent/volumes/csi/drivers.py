"""The drivers that are registered on this node, by name. From memory: it is only as good as the last registration."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from csi.client import Client
from nodeagent.volumes.contract import NotYet
from nodeagent.volumes.csi.versions import Version

_MAX_REFUSALS = 100


class NotRegistered(NotYet):
    """No driver of that name is on this node, or not any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """`socket`: that of its registration. `version`: the highest of CSI that it speaks and the agent, too."""

    name: str
    client: Client
    version: Version
    socket: Path


class Drivers:
    def __init__(self) -> None:
        self._drivers: dict[str, Driver] = {}
        self._refusals: dict[str, str] = {}
        self._awaited: dict[str, asyncio.Event] = {}

    def get(self, name: str) -> Driver:
        """Raises NotRegistered, which tells when it has come."""
        if (driver := self._drivers.get(name)) is None:
            came = self._awaited.setdefault(name, asyncio.Event())
            why = f": {refusal}" if (refusal := self._refusals.get(name)) else ""
            raise NotRegistered(f"driver name {name} not found in the list of registered CSI drivers{why}", came)
        return driver

    def find(self, name: str) -> Driver | None:
        return self._drivers.get(name)

    def all(self) -> Sequence[Driver]:
        return tuple(self._drivers.values())

    def add(self, driver: Driver) -> None:
        """In the place of one of its name, if any."""
        self._drivers[driver.name] = driver

    def ready(self, name: str) -> None:
        """It can be used: those who wait for it try again."""
        self._refusals.pop(name, None)
        if came := self._awaited.pop(name, None):
            came.set()

    def remove(self, name: str) -> None:
        self._drivers.pop(name, None)

    def refuse(self, name: str, why: str) -> None:
        """One of that name has come, and cannot be used: those who wait for it want to know."""
        if len(self._refusals) < _MAX_REFUSALS or name in self._refusals:
            self._refusals[name] = why
