"""One probe of one container in time: when it runs next, and what its outcomes add up to. No I/O, no clock of its own.

Source: docs/facts/pod-lifecycle.md 7.1 and 7.2. Times are seconds of a monotonic clock.

Upstream looks at a container when a tick of its worker comes, and at readiness also whenever it makes a status. Here a
container's start is an event, so startup and readiness take a few looks right after it, of which only successes count: a
server that is up in 50 ms is Ready after 100. Counted runs come no more often than upstream, so thresholds keep their meaning.
"""

import enum
import math
from collections import deque
from dataclasses import dataclass

from lightkube.models.core_v1 import Probe

from nodeagent.probes.outcome import Outcome

LOOKS_SECONDS = (0.0, 0.1, 0.3)  # after the start
EXEC_LOOKS_SECONDS = (0.3,)  # a command costs more than a connection
FIRST_READINESS_RUN_SECONDS = 1.0  # upstream notices a start after a second, and then asks
GRID_SECONDS = 0.05  # runs are put on a grid, so that the loop wakes once for many


class ProbeKind(enum.Enum):
    STARTUP = "Startup"
    READINESS = "Readiness"
    LIVENESS = "Liveness"


INITIAL: dict[ProbeKind, bool | None] = {ProbeKind.STARTUP: None, ProbeKind.READINESS: False, ProbeKind.LIVENESS: True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run to come. `counted`: a failure counts and is reported; else it is only a look."""

    at: float
    counted: bool


class ProbeState:
    """Schedule and thresholds of one probe. `result`: True success, False failure, None undecided."""

    def __init__(self, kind: ProbeKind, probe: Probe) -> None:
        self.kind = kind
        self.result = INITIAL[kind]
        self._period = float(probe.periodSeconds or 10)
        self._initial_delay = float(probe.initialDelaySeconds or 0)
        self._success_threshold = probe.successThreshold or 1
        self._failure_threshold = probe.failureThreshold or 3
        self._looks: tuple[float, ...] = ()
        if self._success_threshold == 1 and kind is not ProbeKind.LIVENESS:
            self._looks = LOOKS_SECONDS if probe.exec is None else EXEC_LOOKS_SECONDS
        self._runs: deque[Run] = deque()
        self._last: bool | None = None
        self._in_a_row = 0

    @property
    def next_run(self) -> Run | None:
        """None: nothing to do until a container begins."""
        return self._runs[0] if self._runs else None

    def begin(self, now: float, *, age_seconds: float) -> None:
        """A container is up, and the probe may look at it; it was started `age_seconds` ago. Forgets all outcomes."""
        self.reset()
        wait = max(0.0, self._initial_delay - age_seconds)
        start = now + wait
        if self.kind is ProbeKind.LIVENESS:
            first = start if wait else now + self._period
        else:
            self._runs.extend(Run(at=start + look, counted=False) for look in self._looks)
            first = start + (FIRST_READINESS_RUN_SECONDS if self.kind is ProbeKind.READINESS else self._period)
        self._runs.append(Run(at=_on_grid(first), counted=True))

    def adopt(self, now: float, *, age_seconds: float, result: bool | None, jitter: float) -> None:
        """A container that ran before the agent did: go on with what was known, at a random point (0 to 1) of the period."""
        self.reset()
        self.result = result
        if self.kind is ProbeKind.STARTUP and result is not None:
            return
        wait = max(jitter * self._period, self._initial_delay - age_seconds)
        self._runs.append(Run(at=_on_grid(now + wait), counted=True))

    def reset(self) -> None:
        """No container to look at: the initial result, no runs."""
        self.result = INITIAL[self.kind]
        self._runs.clear()
        self._last, self._in_a_row = None, 0

    def finished_run(self, run: Run, now: float) -> None:
        """The run was made: plan the one after the last that is planned. Ticks that were missed are not made up for."""
        if not self._runs or self._runs[0] is not run:
            return  # something new began meanwhile
        self._runs.popleft()
        if not self._runs:
            missed = max(0, math.floor((now - run.at) / self._period))
            self._runs.append(Run(at=run.at + (missed + 1) * self._period, counted=True))

    def take(self, outcome: Outcome, *, counted: bool = True) -> bool:
        """Take an outcome into account; True: the result changed. A decision may put the probe on hold."""
        if not counted and not outcome.ok:
            return False
        self._in_a_row = self._in_a_row + 1 if self._last is outcome.ok else 1
        self._last = outcome.ok
        if self._in_a_row < (self._success_threshold if outcome.ok else self._failure_threshold):
            return False
        changed = self.result is not outcome.ok
        self.result = outcome.ok
        if self.kind is ProbeKind.STARTUP or (self.kind is ProbeKind.LIVENESS and not outcome.ok):
            self._runs.clear()  # on hold until another container begins
            self._in_a_row = 0
        elif self.kind is ProbeKind.READINESS and not counted:
            self._end_looks()
        return changed

    def _end_looks(self) -> None:
        """Ready at a look: go on at the pace of the period."""
        look = self._runs[0]
        self._runs.clear()
        self._runs.append(look)
        self._runs.append(Run(at=_on_grid(look.at + self._period), counted=True))


def _on_grid(at: float) -> float:
    return math.ceil(round(at / GRID_SECONDS, 3)) * GRID_SECONDS
