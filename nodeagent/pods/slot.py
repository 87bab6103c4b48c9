"""A value that one step of a pass provides and others wait for."""

import asyncio
from typing import Generic, TypeVar

from nodeagent.pods.step_runs import waiting_for

_T = TypeVar("_T")


class NotProvided(Exception):
    """The step that was to provide a value failed; its own error is reported, this one only ends who waited."""


class Slot(Generic[_T]):
    """A future with a name, which any number of steps may await and whose failure need not be looked at."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

    def set(self, value: _T) -> None:
        if not self._future.done():
            self._future.set_result(value)

    def fail(self, error: Exception | None = None) -> None:
        """Tell all who wait that the value will not come: by `error`, else by NotProvided. Without effect on a filled slot."""
        if not self._future.done():
            self._future.set_exception(error or NotProvided(self.name))
            self._future.exception()  # looked at: a failure that nobody waited for is no news

    @property
    def ready(self) -> bool:
        return self._future.done() and self._future.exception() is None

    async def get(self) -> _T:
        if self._future.done():
            return self._future.result()
        with waiting_for(self.name):
            # shielded: one waiting step that is cancelled must not cancel the value for the others
            return await asyncio.shield(self._future)
