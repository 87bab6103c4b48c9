"""Parts at work: started in the order of their needs, watched, stopped in reverse.

Each part has a task group of its own for its loops. A loop that dies of a mistake ends the agent; one that an OSError ends
begins again (`enduring`), and meanwhile the part counts as failed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from nodeagent.assembly.board import Board, Line, PartState
from nodeagent.assembly.parts import SCOPE, Part, Skip, in_order
from nodeagent.errors import leaves, one_line
from nodeagent.os_error_retry import retry_on_os_error

log = logging.getLogger(__name__)


class StillRunning(Exception):
    """A part has not stopped in its time."""


class Scope:
    """What a part has of its own for as long as it runs.

    `tasks`: for its loops, cancelled first when it stops. `stack`: what is undone then, last pushed first.
    """

    def __init__(self, line: Line, board: Board, tasks: asyncio.TaskGroup) -> None:
        self.tasks = tasks
        self.stack = contextlib.AsyncExitStack()
        self._board = board
        self._line = line
        self._troubles: dict[str, str] = {}
        self._started = False

    def loop(self, run: Callable[[], Awaitable[None]], name: str) -> None:
        """Run a loop until the part stops."""
        self.tasks.create_task(retry_on_os_error(run, name, self.condition(name)), name=name)

    def line(self, name: str) -> Line:
        """A line of the board for something within the part that can fail by itself."""
        return self._board.line_within(self._line, name)

    def condition(self, name: str) -> "LoopCondition":
        """Reports of one loop of the part that it fails, and that it works again."""
        return LoopCondition(self, name)

    def started(self) -> None:
        self._started = True
        self._show()

    def ended(self) -> None:
        self._started = False

    def trouble(self, name: str, reason: str) -> None:
        """`reason` empty: none any more."""
        self._troubles.pop(name, None)
        if reason:
            self._troubles[name] = reason
        self._show()

    def _show(self) -> None:
        if self._started:
            told = "; ".join(f"{name}: {reason}" for name, reason in self._troubles.items())
            self._line.to(PartState.FAILED if told else PartState.RUNNING, told)


class LoopCondition:
    """An `os_error_retry.LoopHealth` of one loop."""

    def __init__(self, scope: Scope, name: str) -> None:
        self._scope = scope
        self._name = name

    def failed(self, reason: str) -> None:
        self._scope.trouble(self._name, reason)

    def works(self) -> None:
        self._scope.trouble(self._name, "")


class _Running:
    """One part that was begun."""

    def __init__(self, part: Part, line: Line) -> None:
        self.part = part
        self.line = line
        self.scope: Scope | None = None
        self.keeper: asyncio.Task[None] | None = None  # holds the task group open

    async def open(self, board: Board) -> Scope:
        opened: asyncio.Future[asyncio.TaskGroup] = asyncio.get_running_loop().create_future()
        self.keeper = asyncio.create_task(self._keep(opened), name=f"part {self.part.name}")
        self.scope = Scope(self.line, board, await opened)
        return self.scope

    async def _keep(self, opened: asyncio.Future[asyncio.TaskGroup]) -> None:
        async with asyncio.TaskGroup() as tasks:
            opened.set_result(tasks)
            await asyncio.get_running_loop().create_future()

    async def close(self) -> list[BaseException]:
        """End the loops, then undo. Everything is tried; what went wrong is returned."""
        wrong: list[BaseException] = []
        seconds = self.part.stop_seconds
        if self.keeper is not None:
            self.keeper.cancel()
            _, pending = await asyncio.wait({self.keeper}, timeout=seconds)
            if pending:
                wrong.append(StillRunning(f"{self.part.name}: its work has not ended within {seconds:g}s"))
            elif not self.keeper.cancelled() and (error := self.keeper.exception()) is not None:
                wrong.append(error)
        if self.scope is not None:
            self.scope.ended()
            try:
                async with asyncio.timeout(seconds) as limit:
                    await self.scope.stack.aclose()
            except Exception as error:
                late = StillRunning(f"{self.part.name}: has not stopped within {seconds:g}s")
                wrong.append(late if limit.expired() else error)
        return wrong


class RunningParts:
    """As a context manager: all parts are started when its body begins, and stopped when it ends.

    `given`: what is there before any part, by type. Raises PartsError at once for parts that do not fit together.
    """

    def __init__(self, parts: Iterable[Part], given: Mapping[Any, object], board: Board) -> None:
        self._order = [(part, board.line(part.name)) for part in in_order(parts, given)]
        self._products = dict(given)
        self._skipped: dict[Any, str] = {}  # what skipped parts would have provided -> why not
        self._board = board
        self._running: list[_Running] = []
        self._deaths: list[BaseException] = []
        self._died = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Raises what a part could not be started by; those before it have been stopped then."""
        try:
            for part, line in self._order:
                await self._or_death(self._start(part, line))
        except BaseException as error:
            await self._stop(error)
            raise
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self._stop(error)

    async def until(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set. Raises what a part died of."""
        await self._or_death(stop.wait())

    async def _start(self, part: Part, line: Line) -> None:
        arguments: dict[str, object] = {}
        for need in part.needs:
            if need.type not in self._products and not need.optional:
                self._skip(part, line, self._skipped[need.type])
                return
            arguments[need.parameter] = self._products.get(need.type)
        line.to(PartState.STARTING)
        running = _Running(part, line)
        self._running.append(running)
        scope = await running.open(self._board)
        assert running.keeper is not None
        running.keeper.add_done_callback(lambda keeper: self._ended(running, keeper))
        try:
            product = await part.start(**{SCOPE: scope}, **arguments)
        except Skip as skip:
            self._running.remove(running)
            await running.close()
            self._skip(part, line, str(skip))
            return
        except Exception as error:
            line.to(PartState.FAILED, _words(error))
            raise
        if part.provides is not None:
            self._products[part.provides] = product
        scope.started()

    def _skip(self, part: Part, line: Line, reason: str) -> None:
        line.to(PartState.SKIPPED, reason)
        if part.provides is not None:
            self._skipped[part.provides] = reason

    def _ended(self, running: _Running, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and (error := keeper.exception()) is not None:
            running.line.to(PartState.FAILED, _words(error))
            self._deaths.append(error)
            self._died.set()

    async def _or_death(self, work: Coroutine[Any, Any, object]) -> None:
        """Run `work` until it is done, or a part dies: then `work` is cancelled, and the part's error raised."""
        job, death = asyncio.create_task(work), asyncio.create_task(self._died.wait())
        try:
            await asyncio.wait({job, death}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            job.cancel()
            death.cancel()
            await asyncio.wait({job, death})
        if self._deaths:
            job.cancelled() or job.exception()  # looked at, so that nobody warns
            raise self._deaths[0]
        await job

    async def _stop(self, error: BaseException | None) -> None:
        """In reverse; `error`: why, where it is one. Raises it together with what went wrong here."""
        wrong: list[BaseException] = []
        while self._running:
            running = self._running.pop()
            wrong += [each for each in await running.close() if each is not error]
            if running.line.status.state is not PartState.FAILED:
                running.line.to(PartState.STOPPED)
        if wrong and (error is None or isinstance(error, Exception)):
            raise BaseExceptionGroup("parts did not stop well", [*([error] if error is not None else []), *wrong])
        for each in wrong:
            log.error("%s", _words(each))


def _words(error: BaseException) -> str:
    return "; ".join(one_line(each) for each in leaves(error))
