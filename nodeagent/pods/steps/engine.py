"""Carry out a pass, and tear a pod down: every step gets its timing, log line, deadline and error report here.

gates:     network, resource claims                  one after the other; what one refuses is not begun
pass:      directories | cgroup | volumes | images | devices            side by side, joined by slots
           | sandbox (network) | containers | starts
teardown:  starts, sandbox                                              what runs must have stopped before
           claims                                                       given back before the pod's end is told, and then
           volumes, user namespace, cgroup, records, directories        in reverse order, all of them, errors collected
"""

import asyncio
import functools
from collections.abc import Sequence

from nodeagent.pods.cancellation import outcomes
from nodeagent.pods.slot import NotProvided
from nodeagent.pods.step_runs import StepObserver, StepRun, StepRuns, Verb
from nodeagent.pods.steps.contract import Gate, Step, StepError, SyncPass, UndoPhase
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.pod import PodUID
from nodeagent.tracing.tracer import NO_TRACES, Tracer


class StepEngine:
    """Runs steps; one serves all pods. `observers` hear of every step that has ended."""

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        gates: Sequence[Gate] = (),
        observers: Sequence[StepObserver] = (),
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self._steps = tuple(steps)
        self._gates = tuple(gates)
        self._runs = StepRuns(observers, tracer=tracer)

    def current_steps(self, uid: PodUID) -> tuple[StepRun, ...]:
        """What is under way for the pod now, in the order in which it began."""
        return self._runs.of(uid)

    def under_way(self) -> tuple[StepRun, ...]:
        """What is under way for any pod now."""
        return self._runs.all()

    async def carry_out(self, work: SyncPass) -> list[Exception]:
        """Run all steps side by side; return what failed, in the order of the steps. Cancellation reaches every step.

        A gate that refuses is all that is returned.
        """
        for gate in self._gates:
            try:
                await self._runs.record(gate.name, Verb.CHECK, work.uid, functools.partial(self._check, gate, work))
            except Exception as error:
                return [error]
        # Every step ends before the caller goes on, also when it is cancelled: what runs next on this pod must not meet them.
        found = await outcomes(self._run(step, work) for step in self._steps)
        return [error for error in found if isinstance(error, Exception)]

    async def stop(self, teardown: Teardown) -> None:
        """Stop what runs, in reverse order of the steps that run something. Raises ExceptionGroup if anything may still run."""
        await self._undo(teardown, UndoPhase.STOP)

    async def give_back(self, teardown: Teardown) -> None:
        """What others take as soon as the stopped pod is told to have ended. Raises ExceptionGroup of what could not be."""
        await self._undo(teardown, UndoPhase.GIVE_BACK)

    async def release(self, teardown: Teardown) -> None:
        """All else that the stopped pod held. Raises ExceptionGroup of what could not be given back."""
        await self._undo(teardown, UndoPhase.RELEASE)

    async def _check(self, gate: Gate, work: SyncPass) -> None:
        try:
            async with asyncio.timeout(gate.deadline_seconds):
                await gate.check(work)
        except TimeoutError as error:
            raise StepError(
                f"{gate.name}: no answer within {gate.deadline_seconds:g}s", event_reason="FailedSync"
            ) from error

    async def _run(self, step: Step, work: SyncPass) -> None:
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
                work.withhold(step.provides)

        await self._runs.record(step.name, Verb.RUN, work.uid, body)

    async def _undo(self, teardown: Teardown, phase: UndoPhase) -> None:
        errors: list[Exception] = []
        for step in reversed(self._steps):
            if step.undone is not phase:
                continue
            try:
                await self._runs.record(step.name, Verb.UNDO, teardown.uid, functools.partial(step.undo, teardown))
            except Exception as error:
                errors.append(error)
        if errors:
            raise ExceptionGroup(f"pod {teardown.uid} could not be taken down", errors)
