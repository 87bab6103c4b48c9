"""Several users of the API in one process: each speaks for itself, and all share the connections of one transport."""

from collections.abc import Callable, Sequence

import aiohttp
from typing_extensions import override

from nodeagent.api.client import Sender
from nodeagent.api.observers import UNOBSERVED, CallObserver
from nodeagent.api.transport import Transport


def as_node(name: str) -> tuple[tuple[str, str], ...]:
    """The headers by which whoever may impersonate is a node, with its rights (docs/facts/api-client-and-server.md A.1, E)."""
    return ("Impersonate-User", f"system:node:{name}"), ("Impersonate-Group", "system:nodes")


class ActingSender(Sender):
    """One user's. `headers`: of every request. `observe(method, path, code)` hears of each answer; `code` 0: there was none.

    Closing it closes nothing: the connections are of the transport that it shares.
    """

    def __init__(
        self,
        shared: Transport,
        headers: Sequence[tuple[str, str]] = (),
        observe: Callable[[str, str, int], None] = lambda method, path, code: None,
    ) -> None:
        self._shared = shared
        self._headers = tuple(headers)
        self._observe = observe

    @property
    @override
    def observer(self) -> CallObserver:
        return UNOBSERVED

    @property
    @override
    def streams_lists(self) -> bool:
        return self._shared.streams_lists

    @override
    def streams_no_lists(self) -> None:
        self._shared.streams_no_lists()

    @override
    def heard(self) -> None:
        self._shared.heard()

    @override
    async def unanswered(self) -> None:
        await self._shared.unanswered()

    @override
    async def send(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "", accept: str = ""
    ) -> aiohttp.ClientResponse:
        code = 0
        try:
            response = await self._shared.send(method, path, body, content_type, accept, further=self._headers)
            code = response.status
        finally:
            self._observe(method, path, code)
        return response

    @override
    async def close(self) -> None:
        return
