"""A runtime of another package that raises whatever it likes: the loops of the agent that ask it go on, and say so."""

import asyncio
import importlib.metadata
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodeagent.images import gc
from nodeagent.images.gc import GarbagePolicy, ImageGarbage, Store
from nodeagent.node.monitor import RuntimeMonitor
from nodeagent.pods import manager
from nodeagent.pods.manager import PodManager
from nodeagent.stats.pods import PodReader
from runtimes import plugins
from runtimes.errors import Internal
from runtimes.registry import Runtime, RuntimeRegistry


class Broken:
    """Every verb, every property, and the events raise what no contract knows."""

    def __getattr__(self, verb: str) -> Any:
        raise KeyError(verb)


def factory(handler: str, settings: Mapping[str, Any], context: Any) -> Runtime:
    service: Any = Broken()
    return Runtime(
        handler=handler,
        service=service,
        images=service,
        lifecycle=service,
        streaming=None,
        cri_handler=handler,
        display_name=handler,
    )


WHOSE = "runtime own (type 'broken' of package tests.unit)"


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """As the agent makes it: by its entry point."""
    point = importlib.metadata.EntryPoint("broken", "tests.unit:factory", plugins.ENTRY_POINT_GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", lambda point: factory)
    return plugins.factories({})["broken"]("own", {}, SimpleNamespace(images=None))


async def test_the_monitor(runtime: Runtime) -> None:
    """The runtime is down, with the reason; nobody else's look is lost."""
    monitor = RuntimeMonitor(RuntimeRegistry({"own": runtime}, "own"))
    await monitor.look()
    assert monitor.state().errors == (f"container runtime own is down: {WHOSE}: status: KeyError: 'status'",)
    assert monitor.handler("own").user_namespaces is False
    assert list(monitor.images()) == []


async def test_following_its_events(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The manager tries again, later each time."""
    monkeypatch.setattr(manager, "RELIST_SECONDS", 0.001)
    pods = PodManager.__new__(PodManager)  # what follows needs the supervisors and nothing else of it
    pods._supervisors = {}
    following = asyncio.create_task(pods.follow(runtime))
    done, _ = await asyncio.wait([following], timeout=0.05)
    assert done == set()
    assert f"runtime own: no events: {WHOSE}: events: KeyError: 'events'" in caplog.messages
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following


async def test_collecting_its_garbage(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection that fails is told as an event of the node from the second time on."""
    monkeypatch.setattr(gc, "COLLECT_SECONDS", 0.001)
    told = asyncio.Queue[str]()
    events: Any = SimpleNamespace(node_event=lambda type, reason, message: told.put_nowait(f"{reason}: {message}"))
    garbage = ImageGarbage([Store(images=runtime.images, runtimes=(runtime.service,))], GarbagePolicy(), events)
    collecting = asyncio.create_task(garbage.run())
    async with asyncio.timeout(10):
        assert await told.get() == f"ImageGCFailed: {WHOSE}: list_images: KeyError: 'list_images'"
    assert not collecting.done()
    collecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await collecting


async def test_its_statistics(runtime: Runtime) -> None:
    """Are left out, and the others' told: what is answered is not whole."""
    reader = PodReader([runtime], cast("Any", None))  # a mistake is no sign that it has none
    snapshot = await reader.read()
    assert (snapshot.pods, snapshot.complete) == ((), False)
    assert await reader.metrics() == []


async def test_its_start_and_its_stop(runtime: Runtime) -> None:
    """A start that fails is an error of the runtime, with its name; a stop that fails keeps nobody from stopping."""
    with pytest.raises(Internal, match=r"start: KeyError: 'start'"):
        await runtime.lifecycle.start()
    await runtime.lifecycle.stop()
