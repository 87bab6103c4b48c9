"""Whatever a runtime's code does, what comes out is an error of `runtimes.errors`; what is right passes unchanged."""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from proto import cri_pb2 as cri
from runtimes import contract, deadlines, errors
from runtimes.boundary import IMAGE_VERBS, RUNTIME_VERBS, Boundary
from runtimes.contract import Capabilities
from runtimes.registry import Runtime

ALL = Capabilities(events=True, local_streaming=True, early_sandbox=True)
REQUEST = cri.VersionRequest()  # any message that no deadline looks into


class Everything:
    """Every verb, property and iterator of all the contract's protocols does what it is told."""

    def __init__(self, behave: Callable[[], Any]) -> None:
        self._behave = behave

    def __getattr__(self, name: str) -> Any:
        if name == "capabilities":
            return self._behave()
        if name in ("events", "output"):
            return lambda: self._behave()

        async def verb(*_arguments: object, **_options: object) -> Any:
            answer = self._behave()
            return await answer if asyncio.iscoroutine(answer) else answer

        return verb


def bounded(behave: Callable[[], Any], **of: Any) -> Runtime:
    inner: Any = Everything(behave)
    boundary = Boundary("runtime x", bounded=True)
    runtime = Runtime(
        handler="x",
        service=of.get("service", inner),
        images=inner,
        lifecycle=inner,
        streaming=of.get("streaming", inner),
        cri_handler="x",
        display_name="x",
    )
    made = boundary.runtime(runtime)
    return SimpleNamespace(  # type: ignore[return-value]  # with its images, as plugins.Contained puts them in
        service=made.service, images=boundary.images(inner), lifecycle=made.lifecycle, streaming=made.streaming
    )


def failing(error: BaseException) -> Runtime:
    def behave() -> Any:
        raise error

    return bounded(behave)


def request_of(verb: str) -> Any:
    looked_into = {
        "stop_container": cri.StopContainerRequest(),
        "exec_sync": cri.ExecSyncRequest(),
        "checkpoint_container": cri.CheckpointContainerRequest(),
    }
    return looked_into.get(verb, REQUEST)


def test_every_verb_of_the_contract_is_behind_it() -> None:
    """The table is the contract: what is added there is contained here."""
    for service, verbs in ((contract.RuntimeService, RUNTIME_VERBS), (contract.ImageService, IMAGE_VERBS)):
        public = {name for name in vars(service) if not name.startswith("_")}
        assert public - set(verbs) == ({"capabilities", "events"} if service is contract.RuntimeService else set())
    assert RUNTIME_VERBS["run_pod_sandbox"] is cri.RunPodSandboxResponse
    assert IMAGE_VERBS["image_status"] is cri.ImageStatusResponse


@pytest.mark.parametrize("error", [KeyError("a"), ExceptionGroup("two", [KeyError("a"), ValueError()]), SystemExit(2)])
async def test_a_foreign_exception_is_internal(error: BaseException) -> None:
    """Of every verb, of the start and of the streams; it is the cause, and its words are told."""
    runtime = failing(error)
    calls = [(getattr(runtime.service, verb), (request_of(verb),)) for verb in RUNTIME_VERBS]
    calls += [(getattr(runtime.images, verb), (request_of(verb),)) for verb in IMAGE_VERBS]
    assert runtime.streaming is not None
    calls += [(runtime.streaming.open_exec, (REQUEST,)), (runtime.streaming.open_attach, (REQUEST,))]
    calls += [(runtime.streaming.open_port, ("", 1)), (runtime.lifecycle.start, ())]
    for call, arguments in calls:
        with pytest.raises(errors.Internal, match=r"^runtime x: ") as caught:
            await call(*arguments)
        assert caught.value.__cause__ is error
    with pytest.raises(errors.Internal):
        runtime.service.events()
    assert runtime.service.capabilities == Capabilities(events=False, local_streaming=False, early_sandbox=False)


async def test_a_fault_passes_as_it_is() -> None:
    """With its class and its reason; alone in a group it is that fault, too."""
    fault = errors.NotFound("gone", reason="Gone")
    for error in (fault, ExceptionGroup("one", [ExceptionGroup("inner", [fault])])):
        with pytest.raises(errors.NotFound) as caught:
            await failing(error).service.status(cri.StatusRequest())
        assert caught.value is fault


async def test_a_full_disk_is_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    """ResourceExhausted, which says what helps, and no traceback."""
    with pytest.raises(errors.ResourceExhausted, match=r"runtime x: status: .*No space left on device: '/state'"):
        await failing(OSError(errno.ENOSPC, "No space left on device", "/state")).service.status(cri.StatusRequest())
    assert caplog.records == []


async def test_a_bug_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """A verb that is asked every five seconds does not fill the log; another place is told for itself."""
    runtime = failing(KeyError("a"))
    for _ in range(3):
        with pytest.raises(errors.Internal):
            await runtime.service.status(cri.StatusRequest())
    with pytest.raises(errors.Internal):
        await runtime.service.version(cri.VersionRequest())
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in told] == [
        "runtime x has a bug: status: KeyError: 'a'",
        "runtime x has a bug: version: KeyError: 'a'",
    ]
    assert all(record.exc_info for record in told)


async def test_a_verb_that_never_answers_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadlines are those of an endpoint; a pull, and a command without a time-out, take as long as they take."""
    monkeypatch.setattr(deadlines, "DEFAULT_SECONDS", 0.01)
    monkeypatch.setattr(deadlines, "RUN_SANDBOX_SECONDS", 0.01)
    runtime = bounded(lambda: asyncio.sleep(1000))
    endless = {"exec_sync"}
    verbs = [getattr(runtime.service, verb)(request_of(verb)) for verb in sorted(set(RUNTIME_VERBS) - endless)]
    ended = await asyncio.gather(*verbs, return_exceptions=True)
    assert {type(answer) for answer in ended} == {errors.Timeout}
    assert str(ended[0]) == "runtime x: attach: no answer within 0.01s"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await runtime.images.pull_image(cri.PullImageRequest())


async def test_a_cancellation_that_was_asked_for_passes() -> None:
    """The agent ends its own work as ever; one that the runtime makes up would end a loop of the agent in silence."""
    task = asyncio.create_task(bounded(lambda: asyncio.sleep(1000)).service.status(cri.StatusRequest()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(errors.Internal, match="CancelledError"):
        await failing(asyncio.CancelledError()).service.status(cri.StatusRequest())


@pytest.mark.parametrize("answer", [None, {}, cri.VersionResponse()])
async def test_an_answer_of_another_type(answer: object) -> None:
    """Is told as what it is, before a caller looks for its fields."""
    with pytest.raises(errors.Internal, match=f"status: answered {type(answer).__name__}, not StatusResponse"):
        await bounded(lambda: answer).service.status(cri.StatusRequest())


async def events_of(items: list[Any], error: BaseException | None = None) -> AsyncIterator[Any]:
    for item in items:
        yield item
    if error is not None:
        raise error


async def test_events() -> None:
    """Pass as they are; an error among them, something else among them and something else in their place are Internal."""
    event = cri.ContainerEventResponse(container_id="c")
    assert [item async for item in bounded(lambda: events_of([event])).service.events()] == [event]
    for wrong, text in (
        (events_of([event], KeyError("a")), "events: KeyError: 'a'"),
        (events_of([event, None]), "events: gave NoneType, not ContainerEventResponse"),
    ):
        found = bounded(lambda wrong=wrong: wrong).service.events()  # type: ignore[misc]
        assert await anext(found) == event
        with pytest.raises(errors.Internal, match=text):
            await anext(found)
    with pytest.raises(errors.Internal, match="events: answered coroutine, not an asynchronous iterator"):
        bounded(lambda: asyncio.sleep(0)).service.events()
    with pytest.raises(errors.Unavailable):
        await anext(bounded(lambda: events_of([], errors.Unavailable("down"))).service.events())


async def test_streams() -> None:
    """A session's and a connection's verbs are behind the boundary, too."""

    def behave() -> Any:
        raise KeyError("a")

    async def opened(*_arguments: object) -> Any:
        return Everything(behave)

    streaming = SimpleNamespace(open_exec=opened, open_attach=opened, open_port=opened)
    made = bounded(behave, streaming=streaming).streaming
    assert made is not None
    session, connection = await made.open_exec(cri.ExecRequest()), await made.open_port("s", 1)
    calls: list[Any] = [session.write_stdin(b""), session.close_stdin(), session.resize(1, 1), session.wait()]
    calls += [session.close(), connection.read(1), connection.write(b""), connection.write_eof(), connection.close()]
    assert {type(found) for found in await asyncio.gather(*calls, return_exceptions=True)} == {errors.Internal}
    with pytest.raises(errors.Internal):
        session.output()


async def test_a_stop_that_fails_stops_the_others_too(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and raises nothing."""
    await failing(KeyError("a")).lifecycle.stop()
    assert "runtime x has a bug: stop: KeyError: 'a'" in caplog.messages
