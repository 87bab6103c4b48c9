"""Which steps are under way for which pod, since when and what they wait for; and how each one ended."""

import asyncio
import contextlib
import enum
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from nodeagent import logs
from nodeagent.podspec.pod import PodUID
from nodeagent.tracing.tracer import NO_TRACES, Tracer

log = logging.getLogger(__name__)

_current: ContextVar["StepRun | None"] = ContextVar("step run", default=None)


class Verb(enum.Enum):
    CHECK = "check"  # of a gate
    RUN = "run"
    UNDO = "undo"


class Outcome(enum.Enum):
    UNDER_WAY = "under way"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True, kw_only=True, eq=False)
class StepRun:
    """One run of one step for one pod. Times are of the monotonic clock, in seconds; `ended` while it is under way: None.

    `waits_for`: what other steps have not provided yet, by the names of the slots.
    """

    step: str
    verb: Verb
    uid: PodUID
    began: float
    ended: float | None = None
    outcome: Outcome = Outcome.UNDER_WAY
    error: BaseException | None = None
    waits_for: list[str] = field(default_factory=list)

    def seconds(self, now: float) -> float:
        """How long it took, or has taken until `now`."""
        return (now if self.ended is None else self.ended) - self.began


# Called when a step has ended, on the event loop; for metrics.
StepObserver = Callable[[StepRun], None]


class StepRuns:
    """All pods' runs that are under way, in the order in which they began."""

    def __init__(
        self,
        observers: Sequence[StepObserver] = (),
        clock: Callable[[], float] = time.monotonic,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self._tracer = tracer
        self._observers = tuple(observers)
        self._clock = clock
        self._under_way: dict[PodUID, list[StepRun]] = {}

    def of(self, uid: PodUID) -> tuple[StepRun, ...]:
        return tuple(self._under_way.get(uid, ()))

    def all(self) -> tuple[StepRun, ...]:
        return tuple(run for runs in self._under_way.values() for run in runs)

    async def record(self, step: str, verb: Verb, uid: PodUID, body: Callable[[], Awaitable[None]]) -> None:
        """Run `body` as that step. Raises what it raises."""
        run = StepRun(step=step, verb=verb, uid=uid, began=self._clock())
        self._under_way.setdefault(uid, []).append(run)
        before, named = _current.set(run), logs.STEP.set(step)
        try:
            with self._tracer.span(f"{verb.value} {step}", {"k8s.pod.uid": uid, "step": step}):
                await body()
        except asyncio.CancelledError as error:
            run.outcome, run.error = Outcome.CANCELLED, error
            raise
        except BaseException as error:
            run.outcome, run.error = Outcome.FAILED, error
            raise
        else:
            run.outcome = Outcome.DONE
        finally:
            _current.reset(before)
            self._end(run)
            logs.STEP.reset(named)

    def _end(self, run: StepRun) -> None:
        run.ended = self._clock()
        runs = self._under_way[run.uid]
        runs.remove(run)
        if not runs:
            del self._under_way[run.uid]
        level = logging.INFO if run.outcome is Outcome.FAILED else logging.DEBUG
        if log.isEnabledFor(level):
            reason = f": {run.error}" if run.outcome is Outcome.FAILED else ""
            milliseconds = run.seconds(run.ended) * 1000
            log.log(
                level,
                "%s %s of pod %s: %s after %.1f ms%s",
                run.step,
                run.verb.value,
                run.uid,
                run.outcome.value,
                milliseconds,
                reason,
            )
        for observer in self._observers:
            observer(run)


@contextlib.contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """The step in whose course this is called, if any, waits for something of another one meanwhile."""
    run = _current.get()
    if run is None:
        yield
        return
    run.waits_for.append(what)
    try:
        yield
    finally:
        run.waits_for.remove(what)
