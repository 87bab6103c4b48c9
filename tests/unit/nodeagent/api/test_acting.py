"""Several users of the API over one transport."""

from typing import Any, cast

import pytest

from nodeagent.api.acting import ActingSender, as_node
from nodeagent.api.errors import Fault, Unavailable
from nodeagent.api.transport import Transport


class Shared:
    """A transport that writes down what it is given. `fault`: raised in place of an answer."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self.fault: Unavailable | None = None

    async def send(self, method: str, path: str, *rest: object, further: object) -> Any:
        self.sent.append((method, path, further))
        if self.fault is not None:
            raise self.fault
        return type("Response", (), {"status": 201})()


async def test_each_speaks_for_itself() -> None:
    """By headers of its own with each request; closing one leaves the transport to the others."""
    shared = Shared()
    heard: list[tuple[str, str, int]] = []
    senders = [
        ActingSender(cast(Transport, shared), as_node(name), lambda *told: heard.append(told)) for name in ("a", "b")
    ]
    for sender in senders:
        assert (await sender.send("GET", "/x")).status == 201
        await sender.close()
    assert [dict(further)["Impersonate-User"] for _, _, further in shared.sent] == ["system:node:a", "system:node:b"]
    assert {dict(further)["Impersonate-Group"] for _, _, further in shared.sent} == {"system:nodes"}
    assert heard == [("GET", "/x", 201)] * 2


async def test_no_answer_is_heard_of() -> None:
    """As code 0; the error is the caller's."""
    shared, heard = Shared(), list[int]()
    shared.fault = Unavailable("gone", Fault.REFUSED)
    with pytest.raises(Unavailable):
        await ActingSender(cast(Transport, shared), (), lambda method, path, code: heard.append(code)).send("GET", "/x")
    assert heard == [0]
