"""Events over a real socket, in each of the three ways."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message

from proto import containerd_events_pb2 as containerd
from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.cri.factory import cri_runtime
from runtimes.cri.subscription import QUEUE_LENGTH

CREATED, STARTED = cri.CONTAINER_CREATED_EVENT, cri.CONTAINER_STARTED_EVENT
STOPPED, DELETED = cri.CONTAINER_STOPPED_EVENT, cri.CONTAINER_DELETED_EVENT


@contextlib.asynccontextmanager
async def client(socket: Path) -> AsyncIterator[Any]:
    made = cri_runtime("containerd", {"endpoint": f"unix://{socket}", "handler": "runc"})
    try:
        yield made.service
    finally:
        await made.lifecycle.stop()


async def take(events: AsyncIterator[Any], count: int) -> list[tuple[str, int]]:
    async with asyncio.timeout(20):
        found = [await anext(events) for _ in range(count)]
    return [(event.container_id, event.container_event_type) for event in found]


async def test_by_looking(tmp_path: Path, peer: Any, held: Any) -> None:
    """A peer without events of any kind is looked at; the event carries the statuses; a peer that goes is Unavailable."""
    held.sandbox("s")
    async with client(tmp_path / "s") as service:
        async with peer(tmp_path / "s", held.answers()):
            events = service.events()
            assert await take(events, 2) == [("s", CREATED), ("s", STARTED)]
            held.container("c", "s", cri.CONTAINER_CREATED)
            event = await anext(events)
            event.created_at = 0
            assert event == cri.ContainerEventResponse(
                container_id="c",
                container_event_type=CREATED,
                pod_sandbox_status=held.sandboxes["s"],
                containers_statuses=[cri.ContainerStatus(id="c", state=cri.CONTAINER_CREATED)],
            )
            del held.sandboxes["s"], held.containers["c"]
            gone = [await anext(events) for _ in range(3)]
            assert [(e.container_id, e.container_event_type) for e in gone] == [
                ("s", STOPPED),
                ("s", DELETED),
                ("c", DELETED),
            ]
            assert {e.pod_sandbox_status.metadata.uid for e in gone} == {"u"}, "whose it was"
        for _ in range(2):
            with pytest.raises(errors.Unavailable):
                await anext(events)


async def test_events_begin_when_they_are_asked_for(tmp_path: Path, peer: Any, held: Any) -> None:
    """Not when they are first read: what happens in between is told."""
    looked = asyncio.Event()
    answers = held.answers()
    listed = answers["ListContainers"]

    async def noticed(request: Any, context: Any) -> Any:
        answer = await listed(request, context)
        looked.set()
        return answer

    async with peer(tmp_path / "s", {**answers, "ListContainers": noticed}), client(tmp_path / "s") as service:
        events = service.events()
        await looked.wait()
        held.sandbox("s")
        assert await take(events, 2) == [("s", CREATED), ("s", STARTED)]


async def test_the_cris_own_events(tmp_path: Path, peer: Any, held: Any) -> None:
    """A peer that has GetContainerEvents is listened to, and looked at once; what it says is passed on as it is."""
    said = [cri.ContainerEventResponse(container_id=name, container_event_type=STOPPED) for name in "ab"]
    looked = asyncio.Event()

    async def events(_request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        for event in said:
            yield event
        await looked.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "going down")

    held.sandbox("s")
    async with peer(tmp_path / "s", held.answers(), events=events), client(tmp_path / "s") as service:
        found = service.events()
        assert await take(found, 4) == [("s", CREATED), ("s", STARTED), ("a", STOPPED), ("b", STOPPED)]
        assert held.looked == 1
        looked.set()
        with pytest.raises(errors.Unavailable, match="going down"):
            await anext(found)


class Told:
    """containerd's events service: the test says what it says."""

    def __init__(self) -> None:
        self.filters: list[str] = []
        self.subscribed = asyncio.Event()
        self._queue: asyncio.Queue[containerd.Envelope] = asyncio.Queue()

    def say(self, topic: str, event: Message) -> None:
        packed = Packed(value=event.SerializeToString())
        self._queue.put_nowait(containerd.Envelope(namespace="k8s.io", topic=topic, event=packed))

    async def stream(self, request: containerd.SubscribeRequest, _context: Any) -> AsyncIterator[containerd.Envelope]:
        self.filters = list(request.filters)
        self.subscribed.set()
        while True:
            yield await self._queue.get()


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks unless he is told to."""
    monkeypatch.setattr("runtimes.cri.changes.next_pause", lambda *_args, **_more: 3600.0)
    monkeypatch.setattr("runtimes.cri.changes.SHORTEST_SECONDS", 3600.0)


@pytest.mark.usefixtures("quiet")
async def test_hints_of_containerd(tmp_path: Path, peer: Any, held: Any) -> None:
    """A message of its events service is the moment to look; no interval has to pass. Probes' ends are no such moment."""
    told = Told()
    held.sandbox("s")
    held.container("c", "s", cri.CONTAINER_RUNNING)
    async with (
        peer(tmp_path / "s", held.answers(), containerd_events=told.stream),
        client(tmp_path / "s") as service,
    ):
        events = service.events()
        await take(events, 4)
        await told.subscribed.wait()
        assert all("namespace==k8s.io" in line for line in told.filters)
        looked = held.looked
        told.say("/tasks/exit", containerd.TaskExit(container_id="c", id="exec-of-a-probe"))
        held.container("c", "s", cri.CONTAINER_EXITED, exit_code=7)
        told.say("/tasks/exit", containerd.TaskExit(container_id="c", id="c"))
        event = await anext(events)
        assert (event.container_id, event.container_event_type) == ("c", STOPPED)
        assert [status.exit_code for status in event.containers_statuses] == [7]
        assert held.looked == looked + 1


async def test_what_was_told_is_looked_for_until_it_is_shown(tmp_path: Path, peer: Any, held: Any) -> None:
    """The CRI's lists may lag behind the events: looking goes on until they do not."""
    told = Told()
    held.sandbox("s")
    held.container("c", "s", cri.CONTAINER_RUNNING)
    async with (
        peer(tmp_path / "s", held.answers(), containerd_events=told.stream),
        client(tmp_path / "s") as service,
    ):
        events = service.events()
        await take(events, 4)
        await told.subscribed.wait()
        told.say("/tasks/exit", containerd.TaskExit(container_id="c", id="c"))
        await held.looks(3)
        held.container("c", "s", cri.CONTAINER_EXITED)
        assert await take(events, 1) == [("c", STOPPED)]


async def test_an_exit_whose_reason_comes_late_is_told_again(tmp_path: Path, peer: Any, held: Any) -> None:
    """containerd tells of a kill by the kernel apart from the exit: when the status says OOMKilled, the listener hears it."""
    told = Told()
    held.sandbox("s")
    held.container("c", "s", cri.CONTAINER_EXITED, reason="Error", exit_code=137)
    async with (
        peer(tmp_path / "s", held.answers(), containerd_events=told.stream),
        client(tmp_path / "s") as service,
    ):
        events = service.events()
        await take(events, 5)
        await told.subscribed.wait()
        told.say("/tasks/oom", containerd.TaskOOM(container_id="c"))
        await held.looks(2)
        held.container("c", "s", cri.CONTAINER_EXITED, reason="OOMKilled", exit_code=137)
        event = await anext(events)
        assert (event.container_id, event.container_event_type) == ("c", STOPPED)
        assert [status.reason for status in event.containers_statuses] == ["OOMKilled"]


async def test_a_break_of_the_hints_is_unavailable(tmp_path: Path, peer: Any, held: Any) -> None:
    """The listener relists and listens again."""

    async def breaks(_request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        yield

    async with peer(tmp_path / "s", held.answers(), containerd_events=breaks), client(tmp_path / "s") as service:
        with pytest.raises(errors.Unavailable, match="restarting"):
            await anext(service.events())


@pytest.mark.parametrize("code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT])
async def test_hints_that_are_refused(tmp_path: Path, peer: Any, held: Any, code: grpc.StatusCode) -> None:
    """An events service that does not serve us is as good as none: the peer is looked at."""

    async def refuses(_request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        await context.abort(code, "not for you")
        yield

    async with peer(tmp_path / "s", held.answers(), containerd_events=refuses), client(tmp_path / "s") as service:
        events = service.events()
        first = asyncio.ensure_future(anext(events))
        await held.looks(2)
        held.sandbox("s")
        await first
        assert first.result().container_id == "s"


async def test_a_flood_of_events_waits_for_the_listener(tmp_path: Path, peer: Any, held: Any) -> None:
    """The peer may say as much as it likes: what is read ahead is bounded, and nothing of it is lost."""
    total, sent = 6_000, 0
    text = "x" * 4000

    async def flood(_request: Any, _context: Any) -> AsyncIterator[Any]:
        nonlocal sent
        for number in range(total):
            yield cri.ContainerEventResponse(container_id=f"{number} {text}")
            sent = number + 1
        await asyncio.Event().wait()

    async with peer(tmp_path / "s", held.answers(), events=flood), client(tmp_path / "s") as service:
        events = service.events()
        assert (await anext(events)).container_id == f"0 {text}"
        before = -1
        while before < sent:  # until the peer is stopped by its reader: time is counted in round trips
            before = sent
            for _ in range(20):
                await service.list_containers(cri.ListContainersRequest())
        assert QUEUE_LENGTH < sent < total
        for number in range(1, total):
            assert (await anext(events)).container_id == f"{number} {text}"


async def test_a_list_that_is_too_large(tmp_path: Path, peer: Any, held: Any) -> None:
    """More than 16 MiB in an answer are not taken in: ResourceExhausted, for the call and for the events."""
    held.sandbox("s", uid="u" * (17 * 1024 * 1024))
    async with peer(tmp_path / "s", held.answers()), client(tmp_path / "s") as service:
        with pytest.raises(errors.ResourceExhausted):
            await service.list_pod_sandbox(cri.ListPodSandboxRequest())
        with pytest.raises(errors.ResourceExhausted):
            await anext(service.events())


@pytest.mark.parametrize("how", ["dropped", "stopped"])
async def test_who_goes_leaves_no_listener_behind(tmp_path: Path, peer: Any, held: Any, how: str) -> None:
    """Neither a listener that is dropped nor a runtime that is stopped leaves a call open at the peer, or a task here."""
    ended = asyncio.Event()

    async def events(_request: Any, _context: Any) -> AsyncIterator[Any]:
        try:
            yield cri.ContainerEventResponse(container_id="c")
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with peer(tmp_path / "s", held.answers(), events=events), client(tmp_path / "s") as service:
        found: Any = service.events()
        await anext(found)
        if how == "dropped":
            del found
            gc.collect()
        else:
            await service.stop()
            with pytest.raises(errors.Unavailable):
                await anext(found)
        async with asyncio.timeout(20):
            await ended.wait()
    assert not [task for task in asyncio.all_tasks() if "events of" in task.get_name()]


async def test_statuses_are_asked_for_once_a_sandbox(tmp_path: Path, peer: Any, held: Any) -> None:
    """A hundred containers that appear at once are not ten thousand questions."""
    asked = 0
    answers = held.answers()
    inner: Callable[..., Any] = answers["ContainerStatus"]

    async def counted(request: Any, context: Any) -> Any:
        nonlocal asked
        asked += 1
        return await inner(request, context)

    held.sandbox("s")
    for number in range(100):
        held.container(f"c{number}", "s", cri.CONTAINER_RUNNING)
    async with peer(tmp_path / "s", {**answers, "ContainerStatus": counted}), client(tmp_path / "s") as service:
        await take(service.events(), 202)
    assert asked == 100
