"""The status of the agent's parts: which run, have failed or are skipped, why, and since when."""

import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

log = logging.getLogger(__name__)


class PartState(enum.StrEnum):
    """waiting -> starting -> running <-> failed, or skipped; in the end stopped."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"  # and tried again, unless the agent ends by it
    SKIPPED = "skipped"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """One part at one time. `reason`: of `failed` and `skipped`."""

    name: str
    state: PartState
    since: datetime
    reason: str = ""


class Line:
    """One part's line; whoever has it writes it."""

    def __init__(self, name: str, now: Callable[[], datetime]) -> None:
        self._now = now
        self.status = PartStatus(name=name, state=PartState.WAITING, since=now())

    def to(self, state: PartState, reason: str = "") -> None:
        """`since` stays where only the reason is another."""
        before = self.status
        if (before.state, before.reason) == (state, reason):
            return
        since = before.since if before.state is state else self._now()
        self.status = PartStatus(name=before.name, state=state, since=since, reason=reason)
        log.debug("%s: %s%s", before.name, state, f": {reason}" if reason else "")


class Board:
    """All lines; made before anything else of its agent."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lines: list[list[Line]] = []  # of a part, and of what is within it
        self.started_at = now()

    def line(self, name: str) -> Line:
        """A new part's, after those before."""
        line = Line(name, self._now)
        self._lines.append([line])
        return line

    def line_within(self, part: Line, name: str) -> Line:
        """Of something that can fail by itself within a part ("runtime runc"): below the part's own."""
        line = Line(name, self._now)
        next(lines for lines in self._lines if lines[0] is part).append(line)
        return line

    def statuses(self) -> tuple[PartStatus, ...]:
        return tuple(line.status for lines in self._lines for line in lines)

    def summary(self) -> str:
        """One line for the log: "22 running; skipped: server (enableServer: false)"."""
        found = self.statuses()
        told = [f"{sum(status.state is PartState.RUNNING for status in found)} running"]
        for state in PartState:
            named = [
                f"{item.name} ({item.reason})" if item.reason else item.name for item in found if item.state is state
            ]
            if named and state is not PartState.RUNNING:
                told.append(f"{state}: {', '.join(named)}")
        return "; ".join(told)
