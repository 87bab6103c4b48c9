"""Carry out a pass, and tear a pod down: every step gets its timing, log line, deadline and error report here.

gates:     network, resource claims                  one after the other; what one refuses is not begun
pass:      directories | cgroup | volumes | sandbox (network) | containers      side by side, joined by slots
teardown:  containers, sandbox                       must succeed before
           volumes, cgroup, directories              in reverse order, all of them, errors collected
"""

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from nodeagent.pods.carrying import until_ended
from nodeagent.pods.slot import NotProvided
from nodeagent.pods.steps.contract import Gate, Step, Work
from nodeagent.pods.teardown import Teardown

log = logging.getLogger(__name__)

# (step, verb, seconds, error or None): one call for every step that ran, for metrics and tests
StepObserver = Callable[[str, str, float, BaseException | None], None]


class StepError(Exception):
    """A step failed. `event_reason` is the reason of the Warning event, with the text as its message; empty: no event."""

    def __init__(self, message: str, *, event_reason: str = "", retry_seconds: float | None = None) -> None:
        super().__init__(message)
        self.event_reason = event_reason
        self.retry_seconds = retry_seconds


def ignore_step(step: str, verb: str, seconds: float, error: BaseException | None) -> None:
    """The observer that looks away."""


class StepEngine:
    """Runs steps. Stateless but for its observer; one serves all pods."""

    def __init__(
        self, steps: Sequence[Step], observer: StepObserver = ignore_step, *, gates: Sequence[Gate] = ()
    ) -> None:
        self._steps = tuple(steps)
        self._gates = tuple(gates)
        self._observer = observer

    async def carry_out(self, work: Work) -> list[Exception]:
        """Run all steps side by side; return what failed, in the order of the steps. Cancellation reaches every step.

        A gate that refuses is all that is returned.
        """
        for gate in self._gates:
            try:
                await self._timed(gate.name, "check", work.uid, functools.partial(self._check, gate, work))
            except Exception as error:
                return [error]
        tasks = [asyncio.create_task(self._run(step, work), name=f"{step.name} {work.uid}") for step in self._steps]
        try:
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        except asyncio.CancelledError:
            # Every step ends before the caller goes on: what runs next on this pod must not meet them.
            for task in tasks:
                task.cancel()
            await until_ended(tasks)
            raise
        return [error for error in outcomes if isinstance(error, Exception)]

    async def stop(self, teardown: Teardown) -> None:
        """Stop what runs, in reverse order of the steps that run something. Raises ExceptionGroup if anything may still run."""
        await self._undo(teardown, running=True)

    async def release(self, teardown: Teardown) -> None:
        """Give back what the stopped pod held. Raises ExceptionGroup of what could not be given back."""
        await self._undo(teardown, running=False)

    async def _check(self, gate: Gate, work: Work) -> None:
        try:
            async with asyncio.timeout(gate.deadline_seconds):
                await gate.check(work)
        except TimeoutError as error:
            raise StepError(
                f"{gate.name}: no answer within {gate.deadline_seconds:g}s", event_reason="FailedSync"
            ) from error

    async def _run(self, step: Step, work: Work) -> None:
        async def body() -> None:
            try:
                async with asyncio.timeout(step.deadline_seconds):
                    await step.run(work)
            except NotProvided:
                pass  # the step it waited for reports its own error
            except TimeoutError as error:
                raise StepError(
                    f"{step.name} was not ready within {step.deadline_seconds:g}s", event_reason="FailedSync"
                ) from error
            finally:
                for slot in step.provides(work):
                    slot.fail()

        await self._timed(step.name, "run", work.uid, body)

    async def _undo(self, teardown: Teardown, *, running: bool) -> None:
        errors: list[Exception] = []
        for step in reversed(self._steps):
            if step.runs_processes is not running:
                continue
            try:
                await self._timed(step.name, "undo", teardown.uid, functools.partial(step.undo, teardown))
            except Exception as error:
                errors.append(error)
        if errors:
            raise ExceptionGroup(f"pod {teardown.uid} could not be taken down", errors)

    async def _timed(self, step: str, verb: str, uid: str, body: Callable[[], Awaitable[None]]) -> None:
        begin = time.monotonic()
        error: BaseException | None = None
        try:
            await body()
        except BaseException as caught:
            error = caught
            raise
        finally:
            seconds = time.monotonic() - begin
            self._observer(step, verb, seconds, error)
            if error is None:
                log.debug("%s %s of pod %s took %.1f ms", step, verb, uid, seconds * 1000)
            elif not isinstance(error, asyncio.CancelledError):
                log.info("%s %s of pod %s failed after %.1f ms: %s", step, verb, uid, seconds * 1000, error)
