"""/debug/pods: what is being done for each pod."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from agent_pods import agent_pod
from aiohttp.test_utils import make_mocked_request

from nodeagent.pods.current_work import WorkKind
from nodeagent.pods.manager import PodActivity
from nodeagent.pods.rules.model import PodStage
from nodeagent.pods.step_runs import StepRun, Verb
from nodeagent.podspec.pod import PodUID
from nodeagent.server.debug_pods import DebugPods

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def activity(name: str, **fields: Any) -> PodActivity:
    document = {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"containers": [{"name": "main", "image": "demo"}]},
    }
    nothing: dict[str, Any] = {"sync_began": None, "blocked_until": None, "held_until": {}, "steps": (), "handler": ""}
    return PodActivity(
        pod=agent_pod(document), **{"stage": PodStage.SYNC, "doing": WorkKind.NOTHING, **nothing, **fields}
    )


async def answer(activities: Sequence[PodActivity]) -> Any:
    page = DebugPods(lambda: activities, now=lambda: NOW, clock=lambda: 100.0)
    return json.loads((await page.show(make_mocked_request("GET", "/debug/pods"))).body or b"")


async def test_what_is_done_for_each_pod() -> None:
    """By name: stage, work, runtime, steps with their beginnings and what they wait for, back-offs; the rest is left out."""
    waiting = StepRun(
        step="containers", verb=Verb.RUN, uid=PodUID("uid-b"), began=97.5, waits_for=["network", "image main"]
    )
    gate = StepRun(step="volumes", verb=Verb.UNDO, uid=PodUID("uid-b"), began=40.0)
    soon = NOW + timedelta(seconds=8)
    busy = activity(
        "b",
        stage=PodStage.TERMINATED,
        doing=WorkKind.RELEASE,
        handler="runc",
        steps=(gate, waiting),
        sync_began=NOW,
        blocked_until=soon,
        held_until={"main": soon},
    )
    common = {"namespace": "default"}
    assert await answer([busy, activity("a")]) == {
        "pods": [
            {**common, "name": "a", "uid": "uid-a", "stage": "sync", "doing": "nothing"},
            {
                **common,
                "name": "b",
                "uid": "uid-b",
                "stage": "terminated",
                "doing": "release",
                "handler": "runc",
                "steps": [
                    {"name": "volumes", "verb": "undo", "since": "2026-01-01T11:59:00Z", "waitsFor": []},
                    {
                        "name": "containers",
                        "verb": "run",
                        "since": "2026-01-01T11:59:57.500000Z",
                        "waitsFor": ["network", "image main"],
                    },
                ],
                "syncBegan": "2026-01-01T12:00:00Z",
                "blockedUntil": "2026-01-01T12:00:08Z",
                "heldUntil": {"main": "2026-01-01T12:00:08Z"},
            },
        ]
    }
