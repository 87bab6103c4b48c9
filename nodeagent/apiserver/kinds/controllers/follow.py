"""Several watches read as one stream, started again from scratch when the server has forgotten too much."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)

QUEUE_SIZE = 1024
GONE = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What to follow; empty selectors follow everything."""

    resource: str
    field_selector: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event of one of the watches: `type` is ADDED, MODIFIED, DELETED or SYNCED (with an empty object)."""

    resource: str
    type: str
    object: JsonObject

    @property
    def key(self) -> tuple[str, str]:
        metadata = self.object["metadata"]
        return metadata.get("namespace", ""), metadata["name"]


class Feed:
    """The merged stream. A full queue makes the watches wait, so nothing is lost and memory is bounded."""

    def __init__(self, queue: asyncio.Queue[Change]) -> None:
        self._queue = queue

    async def batch(self, timeout_seconds: float | None = None) -> list[Change]:
        """Every change that is there, waiting for the first; empty when the time is up."""
        try:
            async with asyncio.timeout(timeout_seconds):
                changes = [await self._queue.get()]
        except TimeoutError:
            return []
        while not self._queue.empty():
            changes.append(self._queue.get_nowait())
        return changes


@asynccontextmanager
async def follow(api: LocalApi, watches: Sequence[Watch]) -> AsyncIterator[Feed]:
    """Start the watches; they end with the context. A failing one cancels the body and raises."""
    queue: asyncio.Queue[Change] = asyncio.Queue(QUEUE_SIZE)
    async with asyncio.TaskGroup() as group:
        feeders = [group.create_task(_feed(api, watch, queue)) for watch in watches]
        try:
            yield Feed(queue)
        finally:
            for feeder in feeders:
                feeder.cancel()


class Session(Protocol):
    """One life of a controller, from a full listing on."""

    async def __call__(self) -> Any: ...


async def forever(session: Session) -> None:
    """Run sessions one after the other for as long as they only end because history was lost."""
    while True:
        try:
            await session()
        except* ApiError as failed:
            if any(error.code != GONE for error in _leaves(failed)):
                raise
            log.info("watch history lost, starting over")


def _leaves(group: BaseExceptionGroup[ApiError]) -> list[ApiError]:
    errors: list[ApiError] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            errors += _leaves(error)
        else:
            errors.append(error)
    return errors


async def _feed(api: LocalApi, watch: Watch, queue: asyncio.Queue[Change]) -> None:
    stream = api.watch(watch.resource, watch.namespace, field_selector=watch.field_selector)
    async for event in stream:
        await queue.put(Change(resource=watch.resource, type=event.type, object=event.object))
    raise ApiError.expired(f"the watch of {watch.resource} ended")
