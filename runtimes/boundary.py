"""The boundary between the agent and a runtime's code: whatever fails behind it is raised as an error of `runtimes.errors`.

Every runtime is handed out behind it (`runtimes/plugins.py`), so nobody above needs to expect a foreign KeyError. What is no
RuntimeFault is a bug of the runtime: Internal, with the runtime's name, and logged once with its traceback. So are an answer of
the wrong type and a cancellation that nobody asked for, which would end a loop of the agent in silence. A verb that is not there
at all is NotSupported: the package was made for an older contract. A full disk, or no descriptor left, is nobody's bug, and
ResourceExhausted. What blocks the event loop cannot be contained here.
"""

import asyncio
import contextlib
import dataclasses
import errno
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast, get_type_hints

from google.protobuf.message import Message
from typing_extensions import override

from proto import cri_pb2 as cri
from runtimes import deadlines, errors
from runtimes.contract import (
    Capabilities,
    ImageService,
    LocalStreaming,
    PortConnection,
    RuntimeService,
    StreamSession,
)
from runtimes.registry import Runtime, RuntimeLifecycle

log = logging.getLogger(__name__)

START_SECONDS = 300.0
_NOTHING = Capabilities(events=False, local_streaming=False, early_sandbox=False)
_EXHAUSTED = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_MOST_BUGS = 1000  # places of bugs remembered as logged

_Item = TypeVar("_Item")

# Called after each verb of a runtime or image store, on the event loop: its name, the request, seconds, whether it failed.
VerbObserver = Callable[[str, Any, float, bool], None]


# Entered around each verb, in its task: its name, the request. A verb that fails leaves it by its error.
VerbScope = Callable[[str, Any], contextlib.AbstractContextManager[object]]

_NO_SCOPE = contextlib.nullcontext()


def unobserved(verb: str, request: Any, seconds: float, failed: bool) -> None:
    return


def unscoped(verb: str, request: Any) -> contextlib.AbstractContextManager[object]:
    return _NO_SCOPE


class Boundary:
    """One runtime's. `whose` names it in errors and in the log.

    `bounded`: its verbs have the deadlines of `runtimes.deadlines`; the built-in runtimes bound what they wait for themselves.
    `observe` hears of every verb, and `scope` is around it.
    """

    def __init__(
        self, whose: str, *, bounded: bool, observe: VerbObserver = unobserved, scope: VerbScope = unscoped
    ) -> None:
        self.whose = whose
        self.bounded = bounded
        self.observe = observe
        self.scope = scope
        self._logged: set[tuple[str, type[BaseException], str]] = set()

    def runtime(self, inner: Runtime) -> Runtime:
        """The same runtime, behind the boundary; its images are as they were (`images`): several runtimes may share them."""
        return dataclasses.replace(
            inner,
            service=cast(RuntimeService, _Service(inner.service, self)),
            lifecycle=_Lifecycle(inner.lifecycle, self),
            streaming=None if inner.streaming is None else _Streaming(inner.streaming, self),
        )

    def images(self, inner: ImageService) -> ImageService:
        return cast(ImageService, _Verbs(inner, IMAGE_VERBS, self))

    async def carry(self, what: str, call: Callable[[], Awaitable[Any]], seconds: float | None) -> Any:
        """What `call` answers. Raises RuntimeFault only; with `seconds`, Timeout after them."""
        try:
            if seconds is None or not self.bounded:
                return await call()
            async with asyncio.timeout(seconds) as scope:
                return await call()
        except errors.RuntimeFault:
            raise
        except BaseException as error:
            if isinstance(error, TimeoutError) and seconds is not None and self.bounded and scope.expired():
                raise errors.Timeout(f"{self.whose}: {what}: no answer within {seconds:g}s") from None
            self.raise_fault(what, error)
            raise

    def raise_fault(self, what: str, error: BaseException) -> None:
        """Raise the fault that `error` is; returns for what has to pass as it is: a cancellation, the end of the process."""
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]  # of a task group
        if isinstance(error, errors.RuntimeFault):
            raise error
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or task.cancelling():
                return
        elif not isinstance(error, (Exception, SystemExit, BaseExceptionGroup)):
            return
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            raise errors.ResourceExhausted(f"{self.whose}: {what}: {error}") from error
        raise self.bug(what, words(error), error) from error

    def bug(self, what: str, found: str, error: BaseException | None = None) -> errors.Internal:
        """The error to raise. The log gets the traceback the first time that this happens at this place."""
        place = (what, type(error) if error is not None else errors.Internal, _innermost(error))
        first = place not in self._logged and len(self._logged) < _MOST_BUGS
        if first:
            self._logged.add(place)
        log.log(
            logging.ERROR if first else logging.DEBUG,
            "%s has a bug: %s: %s",
            self.whose,
            what,
            found,
            exc_info=error if first else None,
        )
        return errors.Internal(f"{self.whose}: {what}: {found}")


def words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _innermost(error: BaseException | None) -> str:
    """Where it was raised."""
    traceback = error.__traceback__ if error is not None else None
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"


def _verbs_of(contract: type) -> dict[str, type[Message]]:
    """The verbs of a service by name, each with the message that it answers."""
    return {
        name: get_type_hints(verb)["return"]
        for name, verb in vars(contract).items()
        if inspect.iscoroutinefunction(verb)
    }


RUNTIME_VERBS: Mapping[str, type[Message]] = _verbs_of(RuntimeService)
IMAGE_VERBS: Mapping[str, type[Message]] = _verbs_of(ImageService)


class _Verbs:
    """A service's verbs, as attributes of their names."""

    def __init__(self, inner: Any, verbs: Mapping[str, type[Message]], boundary: Boundary) -> None:
        for name, answer in verbs.items():
            setattr(self, name, _verb(inner, name, answer, boundary))


def _verb(inner: Any, name: str, answer: type[Message], boundary: Boundary) -> Callable[..., Awaitable[Message]]:
    deadline = deadlines.deadline_of(name)

    def there(request: Any, **options: Any) -> Awaitable[Message]:
        verb = getattr(inner, name, None)
        if verb is None:
            raise errors.NotSupported(f"{boundary.whose} has no {name}")
        answer: Awaitable[Message] = verb(request, **options)
        return answer

    async def call(request: Any, **options: Any) -> Message:
        seconds = deadline(request) if boundary.bounded else None
        began, failed = time.monotonic(), True
        try:
            with boundary.scope(name, request):
                found = await boundary.carry(name, lambda: there(request, **options), seconds)
                if not isinstance(found, answer):
                    raise boundary.bug(name, f"answered {type(found).__name__}, not {answer.__name__}")
            failed = False
        finally:
            boundary.observe(name, request, time.monotonic() - began, failed)
        return found

    call.__name__ = name
    return call


class _Service(_Verbs):
    """Implements `RuntimeService`: the verbs, and what is no coroutine of it."""

    def __init__(self, inner: RuntimeService, boundary: Boundary) -> None:
        super().__init__(inner, RUNTIME_VERBS, boundary)
        self._inner = inner
        self._boundary = boundary

    @property
    def capabilities(self) -> Capabilities:
        """None of them, where the runtime cannot say."""
        try:
            found = self._inner.capabilities
        except (Exception, SystemExit) as error:
            self._boundary.bug("capabilities", words(error), error)
            return _NOTHING
        if isinstance(found, Capabilities):
            return found
        self._boundary.bug("capabilities", f"is {type(found).__name__}, not Capabilities")
        return _NOTHING

    def events(self) -> AsyncIterator[cri.ContainerEventResponse]:
        try:
            found = self._inner.events()
        except BaseException as error:
            self._boundary.raise_fault("events", error)
            raise
        return _Items(found, cri.ContainerEventResponse, "events", self._boundary)


class _Items(AsyncIterator[_Item]):
    """An iterator of a runtime's. Whoever drops it has dropped that of the runtime, too."""

    def __init__(self, inner: AsyncIterator[_Item], kind: type[_Item], what: str, boundary: Boundary) -> None:
        if not hasattr(inner, "__aiter__"):
            if inspect.iscoroutine(inner):
                inner.close()
            raise boundary.bug(what, f"answered {type(inner).__name__}, not an asynchronous iterator")
        self._inner = aiter(inner)
        self._kind = kind
        self._what = what
        self._boundary = boundary

    @override
    async def __anext__(self) -> _Item:
        try:
            item = await self._inner.__anext__()
        except (errors.RuntimeFault, StopAsyncIteration):
            raise
        except BaseException as error:
            self._boundary.raise_fault(self._what, error)
            raise
        if not isinstance(item, self._kind):
            raise self._boundary.bug(self._what, f"gave {type(item).__name__}, not {self._kind.__name__}")
        return item

    async def aclose(self) -> None:
        close = getattr(self._inner, "aclose", None)
        if close is not None:
            await self._boundary.carry(self._what, close, None)


class _Lifecycle(RuntimeLifecycle):
    def __init__(self, inner: RuntimeLifecycle, boundary: Boundary) -> None:
        self._inner = inner
        self._boundary = boundary

    @override
    async def start(self) -> None:
        await self._boundary.carry("start", lambda: self._inner.start(), START_SECONDS)

    @override
    async def stop(self) -> None:
        """A bug is logged and nothing more: the others are to stop, too."""
        try:
            await self._boundary.carry("stop", lambda: self._inner.stop(), deadlines.DEFAULT_SECONDS)
        except (errors.Internal, errors.Timeout) as error:
            log.warning("%s", error)


class _Streaming(LocalStreaming):
    def __init__(self, inner: LocalStreaming, boundary: Boundary) -> None:
        self._inner = inner
        self._boundary = boundary

    @override
    async def open_exec(self, request: cri.ExecRequest) -> StreamSession:
        return _Session(await self._open("open_exec", lambda: self._inner.open_exec(request)), self._boundary)

    @override
    async def open_attach(self, request: cri.AttachRequest) -> StreamSession:
        return _Session(await self._open("open_attach", lambda: self._inner.open_attach(request)), self._boundary)

    @override
    async def open_port(self, pod_sandbox_id: str, port: int) -> PortConnection:
        opened = await self._open("open_port", lambda: self._inner.open_port(pod_sandbox_id, port))
        return _Connection(opened, self._boundary)

    async def _open(self, what: str, call: Callable[[], Awaitable[Any]]) -> Any:
        return await self._boundary.carry(what, call, deadlines.DEFAULT_SECONDS)


class _Session(StreamSession):
    """Without deadlines: a process runs as long as it runs."""

    def __init__(self, inner: StreamSession, boundary: Boundary) -> None:
        self._inner = inner
        self._boundary = boundary

    @override
    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        try:
            found = self._inner.output()
        except BaseException as error:
            self._boundary.raise_fault("output", error)
            raise
        return _Items(found, tuple, "output", self._boundary)

    @override
    async def write_stdin(self, data: bytes) -> None:
        await self._boundary.carry("write_stdin", lambda: self._inner.write_stdin(data), None)

    @override
    async def close_stdin(self) -> None:
        await self._boundary.carry("close_stdin", lambda: self._inner.close_stdin(), None)

    @override
    async def resize(self, width: int, height: int) -> None:
        await self._boundary.carry("resize", lambda: self._inner.resize(width, height), None)

    @override
    async def wait(self) -> int:
        found = await self._boundary.carry("wait", lambda: self._inner.wait(), None)
        if not isinstance(found, int):
            raise self._boundary.bug("wait", f"answered {type(found).__name__}, not an exit code")
        return found

    @override
    async def close(self) -> None:
        await self._boundary.carry("close", lambda: self._inner.close(), deadlines.DEFAULT_SECONDS)


class _Connection(PortConnection):
    def __init__(self, inner: PortConnection, boundary: Boundary) -> None:
        self._inner = inner
        self._boundary = boundary

    @override
    async def read(self, max_bytes: int) -> bytes:
        found = await self._boundary.carry("read", lambda: self._inner.read(max_bytes), None)
        if not isinstance(found, bytes):
            raise self._boundary.bug("read", f"answered {type(found).__name__}, not bytes")
        return found

    @override
    async def write(self, data: bytes) -> None:
        await self._boundary.carry("write", lambda: self._inner.write(data), None)

    @override
    async def write_eof(self) -> None:
        await self._boundary.carry("write_eof", lambda: self._inner.write_eof(), None)

    @override
    async def close(self) -> None:
        await self._boundary.carry("close", lambda: self._inner.close(), deadlines.DEFAULT_SECONDS)
