"""What an agent is doing for its pods, read by way of the API."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nodeagent.api.errors import Fault, Forbidden, Unavailable
from nodeagent.cli.activity import ActivityUnknown, cells, read_activities
from nodeagent.server.debug_pods import ActiveStep, Activity

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Api:
    """Answers one request."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    def sharing(self, **settings: Any) -> "Api":
        return self

    async def request(self, method: str, path: str, *, patient: bool) -> bytes:
        self.asked.append((method, path, patient))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_activities_are_read() -> None:
    """In the node's order, from its own page; fields of another version do no harm."""
    api: Any = Api(
        b'{"pods": [{"namespace": "default", "name": "a", "uid": "u", "stage": "sync", "doing": "pass", "handler": "runc",'
        b'"steps": [{"name": "volumes", "verb": "run", "since": "2026-01-01T11:59:48Z", "waitsFor": [], "more": 1}]}]}'
    )
    (found,) = await read_activities(api, "n")
    step = ActiveStep(name="volumes", verb="run", since=NOW - timedelta(seconds=12))
    expected = Activity(
        namespace="default", name="a", uid="u", stage="sync", doing="pass", handler="runc", steps=(step,)
    )
    assert found == expected
    assert api.asked == [("GET", "/api/v1/nodes/n/proxy/debug/pods", False)]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Unavailable("connection refused", Fault.REFUSED), "connection refused"),
        (Forbidden(403, "Forbidden", "not you"), "not you"),
        (b"404: Page Not Found", "its /debug/pods cannot be read: "),
        (b'{"pods": [{"name": 1}]}', "its /debug/pods cannot be read: "),
    ],
    ids=["away", "forbidden", "text", "rubbish"],
)
async def test_activities_that_are_not_known(answer: bytes | Exception, reason: str) -> None:
    """Why, in one line."""
    api: Any = Api(answer)
    with pytest.raises(ActivityUnknown) as caught:
        await read_activities(api, "n")
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("fields", "doing"),
    [
        ({"doing": "nothing"}, "nothing"),
        ({"doing": "stop"}, "stop"),
        (
            {
                "doing": "pass",
                "steps": (
                    ActiveStep(name="volumes", verb="run", since=NOW - timedelta(seconds=12)),
                    ActiveStep(name="containers", verb="run", since=NOW - timedelta(minutes=3), waits_for=("volumes",)),
                ),
            },
            "volumes 12s, containers 3m (waits for volumes)",
        ),
        (
            {"doing": "release", "steps": (ActiveStep(name="cgroup", verb="undo", since=NOW),)},
            "undo cgroup 0s",
        ),
        (
            {
                "doing": "nothing",
                "blocked_until": NOW + timedelta(seconds=8),
                "held_until": {"main": NOW + timedelta(seconds=9)},
            },
            "nothing, again in 8s, main again in 9s",
        ),
    ],
    ids=["idle", "work", "steps", "undo", "back-off"],
)
def test_one_row(fields: dict[str, Any], doing: str) -> None:
    """The steps with their times and what they wait for, the work where no step is under way, and back-offs."""
    activity = Activity(namespace="default", name="a", uid="u", stage="sync", handler="runc", **fields)
    assert cells(activity, NOW) == ["default", "a", "sync", "runc", doing]
