"""One task per container and probe: waits for its next run, makes it, reports.

Source: docs/facts/pod-lifecycle.md 7.2 and 7.4.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from lightkube.models.core_v1 import Probe

from nodeagent.probes.outcome import Outcome, ProbeError, Verdict
from nodeagent.probes.run import ProbeTarget
from nodeagent.probes.state import ProbeKind, ProbeState, Run

log = logging.getLogger(__name__)

MAX_TRIES = 3  # of a run that errs

Runner = Callable[[Probe, ProbeTarget], Awaitable[Outcome]]


class TimerHandle(Protocol):
    def cancel(self) -> None: ...


class Timers(Protocol):
    """A monotonic clock that calls back; an asyncio event loop is one."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> TimerHandle: ...


class WorkerReports(Protocol):
    """Who hears of a worker's findings. Called on the event loop; must not block."""

    def result(self, kind: ProbeKind, container_id: str) -> None:
        """The probe's result for the container changed."""
        ...

    def event(self, reason: str, message: str) -> None:
        """A Warning event of the container."""
        ...

    def ran(self, kind: ProbeKind, outcome: Outcome, seconds: float) -> None:
        """A run came to a verdict, `seconds` after it began."""
        ...


class ProbeWorker:
    """Runs one probe of one container of a pod, over all its restarts.

    The owner tells it of containers with `begin`, `adopt`, `rest`; `run` is its task's body and ends by cancellation only.
    """

    def __init__(
        self, kind: ProbeKind, probe: Probe, *, runner: Runner, timers: Timers, reports: WorkerReports
    ) -> None:
        self._probe = probe
        self._state = ProbeState(kind, probe)
        self._runner = runner
        self._timers = timers
        self._reports = reports
        self._target: ProbeTarget | None = None
        self._woken = asyncio.Event()

    @property
    def kind(self) -> ProbeKind:
        return self._state.kind

    @property
    def result(self) -> bool | None:
        return self._state.result

    def begin(self, target: ProbeTarget, *, age_seconds: float) -> None:
        """A container that this probe may look at from now on."""
        self._target = target
        self._state.begin(self._timers.time(), age_seconds=age_seconds)
        self._woken.set()

    def adopt(self, target: ProbeTarget, *, age_seconds: float, result: bool | None, jitter: float) -> None:
        """A container that was there before the agent."""
        self._target = target
        self._state.adopt(self._timers.time(), age_seconds=age_seconds, result=result, jitter=jitter)
        self._woken.set()

    def retarget(self, target: ProbeTarget) -> None:
        """The same container in a newer version of its pod."""
        self._target = target

    def rest(self) -> None:
        """There is no running container."""
        self._target = None
        self._state.reset()
        self._woken.set()

    async def run(self) -> None:
        while True:
            due = self._state.next_run
            if due is None or due.at > self._timers.time():
                await self._wait(due)
                continue
            try:
                await self._run_once(due)
            except Exception:
                # one probe's trouble is not the agent's
                log.exception("%s probe: unexpected error", self.kind.value)
                self._state.finished_run(due, self._timers.time())

    async def _wait(self, due: Run | None) -> None:
        """Sleep until the time of the run, or until something changes."""
        handle = self._timers.call_at(due.at, self._woken.set) if due is not None else None
        try:
            await self._woken.wait()
        finally:
            if handle is not None:
                handle.cancel()
        self._woken.clear()

    async def _run_once(self, due: Run) -> None:
        target = self._target
        assert target is not None
        began = self._timers.time()
        outcome = await self._try(target)
        if outcome is not None and due.counted:
            self._reports.ran(self.kind, outcome, self._timers.time() - began)
        if self._state.next_run is not due:
            return  # what was found is about a container that is gone, or from before a new beginning
        if outcome is not None and self._state.take(outcome, counted=due.counted):
            self._reports.result(self.kind, target.container_id)
        self._state.finished_run(due, self._timers.time())
        if outcome is not None and due.counted:
            self._report(outcome)

    async def _try(self, target: ProbeTarget) -> Outcome | None:
        """The run's outcome; None: it erred every time, which counts for nothing."""
        error: Exception | None = None
        for _ in range(MAX_TRIES):
            try:
                return await self._runner(self._probe, target)
            except ProbeError as caught:
                error = caught
            except Exception as caught:
                log.exception("%s probe of container %s", self.kind.value, target.container_id)
                error = caught
        self._reports.event("Unhealthy", f"{self.kind.value} probe errored and resulted in unknown state: {error}")
        return None

    def _report(self, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.FAILURE:
            self._reports.event("Unhealthy", f"{self.kind.value} probe failed: {outcome.output}")
        elif outcome.verdict is Verdict.WARNING:
            self._reports.event("ProbeWarning", f"{self.kind.value} probe warning: {outcome.output}")
