"""The parts of a node's agent, read by way of the API."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nodeagent.api.errors import Fault, Forbidden, Unavailable
from nodeagent.cli.part_row import PartRow, PartsUnknown, in_order, read_parts
from nodeagent.server.statusz import STRUCTURED

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Api:
    """Answers one request."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    def sharing(self, **settings: Any) -> "Api":
        return self

    async def request(self, method: str, path: str, *, patient: bool, accept: str) -> bytes:
        self.asked.append((method, path, patient, accept))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_parts_are_read() -> None:
    """In the node's order, from its own page; fields of another version do no harm."""
    api: Any = Api(
        b'{"kind": "Statusz", "parts": [{"name": "pods", "state": "running", "since": "2026-01-01T11:00:00Z", "more": 1},'
        b'{"name": "server", "state": "skipped", "since": "2026-01-01T11:59:00Z", "reason": "enableServer: false"}]}'
    )
    found = await read_parts(api, "n")
    assert found == (
        PartRow(name="pods", state="running", since=NOW - timedelta(hours=1)),
        PartRow(name="server", state="skipped", since=NOW - timedelta(minutes=1), reason="enableServer: false"),
    )
    assert [part.cells(NOW) for part in found] == [
        ["pods", "running", "60m", ""],
        ["server", "skipped", "60s", "enableServer: false"],
    ]
    assert api.asked == [("GET", "/api/v1/nodes/n/proxy/statusz", False, STRUCTURED)]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Unavailable("connection refused", Fault.REFUSED), "connection refused"),
        (Forbidden(403, "Forbidden", "not you"), "not you"),
        (b'{"kind": "Statusz"}', "its agent is another, or an older one"),
        (b"kubelet statusz", "its /statusz cannot be read: "),
        (b'{"parts": [{"name": 1}]}', "its /statusz cannot be read: "),
    ],
    ids=["away", "forbidden", "kubelet", "text", "rubbish"],
)
async def test_parts_that_are_not_known(answer: bytes | Exception, reason: str) -> None:
    """Why, in one line."""
    api: Any = Api(answer)
    with pytest.raises(PartsUnknown) as caught:
        await read_parts(api, "n")
    assert str(caught.value).startswith(reason)


def test_what_has_failed_is_seen_first() -> None:
    """The rest stays as it was."""
    parts = [
        PartRow(name=name, state=state, since=NOW)
        for name, state in (("a", "running"), ("b", "failed"), ("c", "skipped"))
    ]
    assert [part.name for part in in_order(parts)] == ["b", "a", "c"]
