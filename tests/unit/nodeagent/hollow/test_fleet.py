"""What a fleet waits for, and what it does not."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from nodeagent.hollow import fleet as module
from nodeagent.hollow.calls import ApiCalls
from nodeagent.hollow.fleet import Fleet
from nodeagent.hollow.report import Reporter
from nodeagent.hollow.settings import FleetSettings

pytestmark = pytest.mark.timeout(30)


class Node:
    """Ready at once and its pods Running, unless `dies`."""

    def __init__(self, name: str, own_pods: int, *, dies: bool) -> None:
        self.name, self.own_pods, self._dies = name, own_pods, dies
        self.sight = SimpleNamespace(ready=not dies, pods=lambda phase="": 0 if dies else own_pods)

    async def run(self, leave: asyncio.Event) -> None:
        if self._dies:
            raise RuntimeError("no longer")
        await leave.wait()


class Work:
    def __init__(self) -> None:
        self.asked = False

    async def make_pods(self, stop: asyncio.Event) -> None:
        self.asked = True


async def lived(monkeypatch: pytest.MonkeyPatch, *dies: bool) -> tuple[Fleet, list[str], Work]:
    """A fleet of such nodes, from its start to its end: itself, what was reached, and what was asked of the API."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(module.gc, "freeze", lambda: None)
    monkeypatch.setattr(module.gc, "set_threshold", lambda *_: None)
    settings = FleetSettings(nodes=len(dies), pods=2 * len(dies), duration_seconds=0.0)
    made, work, phases = Fleet(settings), Work(), []
    nodes: Any = [Node(f"hollow-{i}", len(settings.pods_of(i)), dies=dead) for i, dead in enumerate(dies)]
    reporter = Reporter(nodes, ApiCalls(), None)
    sample = reporter.sample

    def told(phase: str = "") -> Any:
        phases.append(phase)
        return sample(phase)

    monkeypatch.setattr(reporter, "sample", told)
    workload: Any = work
    await made._live(nodes, workload, reporter)
    return made, phases, work


async def test_it_does_not_wait_for_the_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that dies before it is Ready is told of, and the others reach what they can; the duration ends them."""
    made, phases, _ = await lived(monkeypatch, False, True, False)
    assert (phases, made._dead) == (["start", "nodes", "pods", "end"], {"hollow-1"})


async def test_where_all_have_died_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made in the API, and nobody has to tell it."""
    made, phases, work = await lived(monkeypatch, True, True)
    assert (phases, made._dead, work.asked) == (["start"], {"hollow-0", "hollow-1"}, False)


async def test_all_is_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody dies, every node and pod is waited for."""
    _, phases, work = await lived(monkeypatch, False, False)
    assert (phases, work.asked) == (["start", "nodes", "pods", "end"], True)
