"""Drivers that come, go and tell of health. docs/facts/node-resources.md 12.3."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nodeagent.plugin_registration.contract import Plugin, PluginRefused
from nodeagent.resources.dra.drivers import Drivers, NotRegistered
from nodeagent.resources.dra.health import Health
from proto import dra_health_pb2 as api

NAME = "a.example"


class FakeDriver:
    def __init__(self, name: str, socket: Path, versions: Any, observe: Any) -> None:
        self.name, self.socket = name, socket
        self.closed = False

    async def watch_health(self) -> AsyncIterator[Any]:
        device = api.DeviceHealth(health=api.HEALTHY, health_check_timeout_seconds=5)
        device.device.pool_name, device.device.device_name = "p", "d"
        yield [device]

    async def close(self) -> None:
        self.closed = True


class FakeSlices:
    def __init__(self) -> None:
        self.removed: list[str] = []
        self.done = asyncio.Event()

    async def remove(self, driver: str = "") -> bool:
        self.removed.append(driver)
        self.done.set()
        return True


class Site:
    def __init__(self, folder: Path, gone_seconds: float = 0) -> None:
        self.now = 0.0
        self.tasks: list[asyncio.Task[None]] = []
        self.slices = FakeSlices()
        self.health = Health(folder, now=lambda: self.now)
        connect: Any = FakeDriver
        slices: Any = self.slices
        self.drivers = Drivers(
            start=self.start,
            health=self.health,
            slices=slices,
            observe=lambda *told: None,
            connect=connect,
            gone_seconds=gone_seconds,
            reconnect_seconds=3600,
        )

    def start(self, work: Any, name: str) -> "asyncio.Task[None]":
        self.tasks.append(asyncio.create_task(work, name=name))
        return self.tasks[-1]

    def socket(self) -> Path:
        found: Any = self.drivers.get(NAME)
        return Path(found.socket)


def plugin(socket: str = "s", *, name: str = NAME, versions: tuple[str, ...] = ("v1.DRAPlugin",)) -> Plugin:
    return Plugin(type="DRAPlugin", name=name, endpoint=f"/{socket}", versions=versions, socket=Path(socket))


def test_who_may_register(tmp_path: Path) -> None:
    """Either version of the service; a name that can be one of a driver."""
    drivers = Site(tmp_path).drivers
    drivers.validate(plugin(versions=("v1beta1.DRAPlugin",)))
    for wrong in (plugin(versions=("1.0.0",)), plugin(name="No_Driver")):
        with pytest.raises(PluginRefused):
            drivers.validate(wrong)


async def test_one_replaces_another(tmp_path: Path) -> None:
    """The newest is asked; when it goes, the other, until the last has gone and its slices with it."""
    site = Site(tmp_path)
    await site.drivers.register(plugin("old"))
    await site.drivers.register(plugin("new"))
    assert site.socket() == Path("/new")
    await site.drivers.deregister(plugin("new"))
    assert (site.socket(), site.slices.removed) == (Path("/old"), [])
    await site.drivers.deregister(plugin("old"))
    with pytest.raises(NotRegistered, match=f"DRA driver {NAME} is not registered"):
        site.drivers.get(NAME)
    await site.slices.done.wait()
    assert site.slices.removed == [NAME]


async def test_one_that_comes_back_in_time_keeps_its_slices(tmp_path: Path) -> None:
    """The delay is for restarts; at the agent's start all of the node's slices go."""
    site = Site(tmp_path, gone_seconds=3600)
    await site.drivers.register(plugin())
    await site.drivers.deregister(plugin())
    await site.drivers.register(plugin())
    await asyncio.gather(*site.tasks, return_exceptions=True)
    assert (site.slices.removed, site.tasks[0].cancelled()) == ([], True)
    await site.drivers.run()
    assert site.slices.removed == [""]


async def test_health_holds_for_a_time(tmp_path: Path) -> None:
    """As told, for as long as the driver says, across a restart of the agent; then it is not known, and nothing of it is kept."""
    site = Site(tmp_path)
    await site.drivers.register(plugin(versions=("v1.DRAPlugin", "v1alpha1.DRAResourceHealth")))
    changes: asyncio.Queue[Any] = asyncio.Queue()
    following = asyncio.create_task(site.health.run(changes.put_nowait))
    assert await changes.get() == {(NAME, "p/d")}
    await site.health._saver.save()
    again = Health(tmp_path, now=lambda: site.now)
    again.load()
    assert (again.of(NAME, "p", "d").status, again.next_end()) == ("Healthy", 5)
    site.now = 6
    assert (again.of(NAME, "p", "d").status, again.next_end()) == ("Unknown", None)
    assert site.health.changes() == {(NAME, "p/d")}
    assert site.health.changes() == frozenset()
    await site.health._saver.save()
    assert b"p/d" not in (tmp_path / "dra_health_state").read_bytes()
    for task in (following, *site.tasks):
        task.cancel()
    await asyncio.gather(following, *site.tasks, return_exceptions=True)
