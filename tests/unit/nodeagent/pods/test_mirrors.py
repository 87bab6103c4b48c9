"""nodeagent.pods.mirrors: the API has one mirror for each static pod, and none too many."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from nodeagent.api.errors import ApiError
from nodeagent.pods import mirrors
from nodeagent.pods.mirrors import MirrorKeeper

DOWN = ApiError(503, "ServiceUnavailable", "down")


class World:
    """Writes down what is asked of the API, which says yes unless told otherwise; static and mirror pods in a few words."""

    def __init__(self, kit: Any) -> None:
        self.kit = kit
        self.diary: list[str] = []
        self.answers: dict[str, bool | ApiError] = {}
        self.ready = True
        self.keeper = MirrorKeeper(
            self, ready=lambda: self.ready, on_mirror=lambda uid: self.diary.append(f"woke {uid}")
        )

    def static(self, name: str = "s", *, uid: str = "u1", hash: str = "h1") -> Any:
        annotations = {"kubernetes.io/config.hash": hash, "kubernetes.io/config.source": "file"}
        return self.kit.pod(meta={"name": name, "uid": uid, "annotations": annotations})

    def mirror(self, name: str = "s", *, hash: str = "h1", deleted_at: datetime | None = None) -> Any:
        meta: dict[str, Any] = {"name": name, "uid": f"m-{name}", "annotations": {"kubernetes.io/config.mirror": hash}}
        if deleted_at is not None:
            meta["deletionTimestamp"] = deleted_at
        return self.kit.pod(meta=meta)

    async def ensure(self, static: Any, mirror: Any) -> bool:
        line = f"ensure {static.metadata.name} over {mirror.metadata.uid if mirror is not None else 'nothing'}"
        return self._answer(line)

    async def delete_orphan(self, mirror: Any) -> None:
        self._answer(f"delete {mirror.metadata.uid}")

    def _answer(self, line: str) -> bool:
        self.diary.append(line)
        answer = self.answers.get(line, True)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    async def settled(self) -> list[str]:
        """What was asked since the last call."""
        for _ in range(20):
            await asyncio.sleep(0)
        said, self.diary = self.diary, []
        return said


@pytest.fixture
async def world(kit: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(mirrors, "RETRY_SECONDS", 0.0)
    made = World(kit)
    task = asyncio.create_task(made.keeper.run())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_static_pod_gets_its_mirror_once(world: World) -> None:
    """It is made at once; when the API shows it, the pod is woken for its status, and nothing more is asked."""
    static, mirror = world.static(), world.mirror()
    world.keeper.wanted(static)
    assert await world.settled() == ["ensure s over nothing"]
    assert world.keeper.of(static) is None
    world.keeper.observed(mirror, removed=False)
    assert await world.settled() == ["woke u1"]
    assert world.keeper.of(static) is mirror


@pytest.mark.parametrize("wrong", ["other manifest", "being deleted"])
async def test_a_mirror_that_is_not_right_is_made_anew(world: World, wrong: str) -> None:
    """Of an older manifest, or on its way out."""
    mirror = world.mirror(hash="h0") if wrong == "other manifest" else world.mirror(deleted_at=world.kit.now)
    world.keeper.observed(mirror, removed=False)
    world.keeper.wanted(world.static())
    assert await world.settled() == ["ensure s over m-s"]


async def test_a_mirror_that_somebody_deleted_comes_back(world: World) -> None:
    """As long as the static pod is wanted."""
    world.keeper.wanted(world.static())
    world.keeper.observed(world.mirror(), removed=False)
    await world.settled()
    world.keeper.observed(world.mirror(), removed=True)
    assert await world.settled() == ["woke u1", "ensure s over nothing"]


async def test_one_too_many_goes_when_all_sources_have_spoken(world: World) -> None:
    """Not before: its manifest may be yet to come."""
    world.ready = False
    world.keeper.observed(world.mirror(), removed=False)
    assert await world.settled() == []
    world.ready = True
    world.keeper.observed(world.mirror("t"), removed=False)
    assert await world.settled() == ["delete m-s", "delete m-t"]


async def test_one_too_many_goes_though_nothing_else_happens(world: World) -> None:
    """The API told of it before the last source spoke: who knows that it has, wakes the keeper."""
    world.ready = False
    world.keeper.observed(world.mirror(), removed=False)
    assert await world.settled() == []
    world.ready = True
    world.keeper.wake()
    assert await world.settled() == ["delete m-s"]


async def test_a_pod_that_goes_takes_its_mirror_along(world: World) -> None:
    """But not that of the next pod of its name, which came first."""
    world.keeper.wanted(world.static(uid="u2", hash="h1"))
    world.keeper.observed(world.mirror(), removed=False)
    await world.settled()
    world.keeper.gone(world.static(uid="u1", hash="h0"))
    assert await world.settled() == []
    world.keeper.gone(world.static(uid="u2"))
    assert await world.settled() == ["delete m-s"]


@pytest.mark.parametrize("answer", [False, DOWN])
async def test_what_cannot_be_written_is_tried_again(world: World, answer: bool | ApiError) -> None:
    """There is no Node yet, or no API; the other mirrors are written meanwhile."""
    world.answers = {"ensure s over nothing": answer, "delete m-x": DOWN}
    world.keeper.wanted(world.static())
    world.keeper.wanted(world.static("t", uid="u2"))
    world.keeper.observed(world.mirror("x"), removed=False)
    tried = await world.settled()
    assert tried[:3] == ["ensure s over nothing", "ensure t over nothing", "delete m-x"]
    assert tried.count("ensure s over nothing") > 1
    world.answers = {}
    await world.settled()
    world.keeper.observed(world.mirror(), removed=False)
    world.keeper.observed(world.mirror("t"), removed=False)
    world.keeper.observed(world.mirror("x"), removed=True)
    await world.settled()
    assert await world.settled() == []
