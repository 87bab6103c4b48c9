"""The events of several runtimes as one stream."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.serve import events


def event(container_id: str) -> cri.ContainerEventResponse:
    return cri.ContainerEventResponse(container_id=container_id)


async def code_at_the_end(stream: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    return caught.value.code()


async def test_events_of_all_runtimes(serve: Any) -> None:
    """Each listener gets each event of each runtime, in that runtime's order."""
    async with serve() as (setup, runtime, _):
        stream = runtime.GetContainerEvents(cri.GetEventsRequest())
        await stream.initial_metadata()
        for container_id in ("1", "2"):
            setup.a.events_queue.put_nowait(event(container_id))
        assert [(await stream.read()).container_id for _ in range(2)] == ["1", "2"]
        setup.b.events_queue.put_nowait(event("3"))
        assert (await stream.read()).container_id == "3"
        assert (setup.a.listening, setup.b.listening) == (1, 1)
        stream.cancel()


async def test_a_runtime_that_breaks_off_ends_the_stream(serve: Any) -> None:
    """The client must list again: it would miss events else."""
    async with serve() as (setup, runtime, _):
        stream = runtime.GetContainerEvents(cri.GetEventsRequest())
        await stream.initial_metadata()
        setup.b.events_queue.put_nowait(errors.Unavailable("fell behind"))
        assert await code_at_the_end(stream) is grpc.StatusCode.UNAVAILABLE


async def test_a_runtime_that_is_started_later(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile the others' events come; when it is there the stream ends, since it may have brought containers back."""
    monkeypatch.setattr(events, "LOOK_AGAIN_SECONDS", 0)
    async with serve() as (setup, runtime, _):
        setup.b.fault = errors.Unavailable("b is not started")
        stream = runtime.GetContainerEvents(cri.GetEventsRequest())
        await stream.initial_metadata()
        setup.a.events_queue.put_nowait(event("1"))
        assert (await stream.read()).container_id == "1"
        setup.b.fault = None
        assert await code_at_the_end(stream) is grpc.StatusCode.UNAVAILABLE


async def test_stopping_ends_streams_at_once(serve: Any) -> None:
    """The server does not wait for listeners, who would never go."""
    async with serve() as (setup, runtime, _):
        stream = runtime.GetContainerEvents(cri.GetEventsRequest())
        await stream.initial_metadata()
        setup.a.events_queue.put_nowait(event("1"))
        await stream.read()
        reading = asyncio.create_task(code_at_the_end(stream))
        await setup.server.stop()
        assert await reading is grpc.StatusCode.UNAVAILABLE
