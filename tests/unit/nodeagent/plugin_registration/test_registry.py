"""Who is registered when, by sockets that come and go, with the handshake scripted."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nodeagent.plugin_registration.contract import HandshakeFailed, Plugin, PluginRefused
from nodeagent.plugin_registration.registry import PluginRegistry
from runtimes.linux.retry import RetryPolicy

AT_ONCE = RetryPolicy(first_seconds=0.001, cap_seconds=0.001)
NEVER = RetryPolicy(first_seconds=3600, cap_seconds=3600)


@dataclass
class World:
    """Plugins by the name of their socket, and what the handler was asked, in order."""

    folder: Path
    calls: list[str] = field(default_factory=list)
    told: list[tuple[str, bool, str]] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    hang: set[str] = field(default_factory=set)
    types: dict[str, str] = field(default_factory=dict)
    deaf: set[str] = field(default_factory=set)
    sockets: dict[Path, socket.socket] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)
    noted: asyncio.Condition = field(default_factory=asyncio.Condition)

    # -- plugins

    def listen(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.sockets[path] = socket.socket(socket.AF_UNIX)
        self.sockets[path].bind(str(path))
        return path

    def leave(self, name: str) -> None:
        (self.folder / name).unlink()

    @contextlib.asynccontextmanager
    async def connect(self, path: Path) -> AsyncIterator["Talk"]:
        yield Talk(self, path)

    # -- the handler

    def validate(self, plugin: Plugin) -> None:
        if "0.3" in plugin.versions:
            raise PluginRefused("too old")

    async def register(self, plugin: Plugin) -> None:
        await self.note(f"register {plugin.name}")
        if reason := self.refuse.get(plugin.name):
            raise PluginRefused(reason)

    async def deregister(self, plugin: Plugin) -> None:
        await self.note(f"deregister {plugin.name}")

    async def note(self, text: str) -> None:
        async with self.noted:
            self.calls.append(text)
            self.noted.notify_all()

    async def until(self, check: Callable[[], bool]) -> None:
        async with asyncio.timeout(30), self.noted:
            await self.noted.wait_for(check)


@dataclass
class Talk:
    world: World
    path: Path

    async def ask(self) -> Plugin:
        if self.path.name in self.world.hang:
            await asyncio.Event().wait()
        kind = self.world.types.get(self.path.name, "CSIPlugin")
        version = "0.3" if self.path.name.startswith("old") else "1.0.0"
        return Plugin(type=kind, name=self.path.name, endpoint="/e", versions=(version,), socket=self.path)

    async def tell(self, *, registered: bool, error: str = "") -> None:
        async with self.world.noted:
            self.world.told.append((self.path.name, registered, error))
            self.world.noted.notify_all()
        if self.path.name in self.world.deaf:
            self.world.deaf.discard(self.path.name)
            raise HandshakeFailed("it does not listen")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "r")
    yield made
    for each in made.sockets.values():
        each.close()


@contextlib.asynccontextmanager
async def running(world: World, retry: RetryPolicy = AT_ONCE) -> AsyncIterator[PluginRegistry]:
    registry = PluginRegistry(
        world.folder, {"CSIPlugin": world}, world.troubles.__setitem__, connect=world.connect, retry=retry
    )
    task = asyncio.create_task(registry.run())
    try:
        yield registry
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_comes_is_replaced_and_goes(world: World) -> None:
    """A socket that was there, one that comes, in a folder below too: each is registered and told; a new one at the same path is
    another; one that is gone is let go. An agent that leaves lets nobody go."""
    world.listen("a")
    async with running(world):
        await world.until(lambda: world.told == [("a", True, "")])
        world.listen("deep/er/b")
        await world.until(lambda: ("b", True, "") in world.told)
        world.leave("a")
        world.listen("a")
        await world.until(lambda: world.calls[2:] == ["deregister a", "register a"])
        world.leave("deep/er/b")
        await world.until(lambda: world.calls[4:] == ["deregister b"])
    assert world.calls == ["register a", "register b", "deregister a", "register a", "deregister b"]


async def test_what_is_no_plugin(world: World) -> None:
    """Names with a dot in front, plain files and links are passed over."""
    world.folder.mkdir()
    (world.folder / "file").write_text("")
    world.listen(".hidden")
    world.listen(".folder/a")
    (world.folder / "link").symlink_to(world.listen("../elsewhere"))
    async with running(world):
        world.listen("z")
        await world.until(lambda: world.calls == ["register z"])


async def test_one_that_hangs(world: World) -> None:
    """It holds up nobody, and can be replaced."""
    world.hang.add("a")
    world.listen("a")
    async with running(world):
        world.listen("b")
        await world.until(lambda: world.told == [("b", True, "")])
        world.hang.clear()
        world.leave("a")
        world.listen("a")
        await world.until(lambda: ("a", True, "") in world.told)


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("a", "Toaster", "no handler registered for plugin type: Toaster at socket {path}"),
        ("old", "CSIPlugin", "plugin validation failed with err: too old"),
        ("bad", "CSIPlugin", "plugin registration failed with err: no node id"),
    ],
)
async def test_one_that_is_refused(world: World, name: str, kind: str, text: str) -> None:
    """It is told why, in a kubelet's words, and asked again later; half a registration is undone; the agent can tell, too."""
    world.types[name] = kind
    world.refuse["bad"] = "no node id"
    path = world.listen(name)
    wanted = f"RegisterPlugin error -- {text.format(path=path)}"
    async with running(world):
        await world.until(lambda: world.told[:2] == [(name, False, wanted)] * 2)
        assert world.troubles == {name: wanted}
    assert world.calls[:2] == (["register bad", "deregister bad"] if name == "bad" else [])


async def test_one_that_does_not_hear(world: World) -> None:
    """Who cannot be told that it is registered is let go, and asked again."""
    world.deaf.add("a")
    world.listen("a")
    async with running(world):
        await world.until(lambda: world.calls == ["register a", "deregister a", "register a"])


async def test_a_place_that_becomes_free(world: World) -> None:
    """Who was refused is asked again at once when another is let go: it may have been in his way."""
    world.refuse["a"] = "another of that name"
    world.listen("a")
    world.listen("b")
    async with running(world, NEVER):
        await world.until(lambda: len(world.told) == 2)
        world.refuse.clear()
        world.leave("b")
        await world.until(lambda: ("a", True, "") in world.told)


async def test_a_handler_with_a_bug(world: World) -> None:
    """The plugin is told that it is not registered; the others are."""

    async def broken(plugin: Plugin) -> None:
        if plugin.name == "a":
            raise RuntimeError("oops")
        await world.note(f"register {plugin.name}")

    world.register = broken  # type: ignore[method-assign]
    world.listen("a")
    async with running(world, NEVER):
        world.listen("b")
        await world.until(lambda: len(world.told) == 2)
    assert {(name, registered) for name, registered, _ in world.told} == {("a", False), ("b", True)}
