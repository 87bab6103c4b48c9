"""How long something that should work has not worked, why, and the log lines that say so. Nothing waits in silence.

The first failure is logged at once, then the state of affairs every minute while it lasts, and its end once.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

SILENCE_SECONDS = 30.0  # how long an attempt may go without any answer before that is logged
REPEAT_SECONDS = 60.0
NO_ANSWER = "no answer yet"


class Timer(Protocol):
    def cancel(self) -> None: ...


Later = Callable[[float, Callable[[], None]], Timer]


class Outage:
    """One thing that may fail; `what` names it in the log: "list of Pod". Use it from the event loop."""

    def __init__(self, what: str, *, clock: Callable[[], float] = time.monotonic, later: Later | None = None) -> None:
        self._what = what
        self._clock = clock
        self._later = later
        self._since: float | None = None
        self._reason = ""
        self._told = False
        self._timer: Timer | None = None

    @property
    def seconds(self) -> float:
        """Since when it has not worked; 0: it works."""
        return self._clock() - self._since if self._since is not None else 0.0

    @property
    def since(self) -> float | None:
        return self._since

    @property
    def reason(self) -> str:
        """The last failure's; empty while none is known."""
        return self._reason

    def tried(self, since: float | None = None) -> None:
        """An attempt begins: from now on (or from `since`) it counts as not working, until it does."""
        if self._since is None:
            self._since = self._clock() if since is None else since
            self._remind_in(SILENCE_SECONDS)

    def failed(self, reason: str) -> None:
        """An attempt failed."""
        self.tried()
        self._reason = reason
        if not self._told:
            self._told = True
            log.warning("%s: %s", self._what, reason)
            self._remind_in(REPEAT_SECONDS)

    def waits(self, reason: str) -> None:
        """It has to wait for something else, which may well be there in a moment: told when it takes long."""
        self.tried()
        self._reason = reason

    def works(self) -> None:
        if self._told:
            log.info("%s: works again, after %.0f s", self._what, self.seconds)
        self.close()

    def close(self) -> None:
        """Nobody tries any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._since, self._reason, self._told, self._timer = None, "", False, None

    def _remind(self) -> None:
        self._told = True
        log.warning("%s: for %.0f s now: %s", self._what, self.seconds, self._reason or NO_ANSWER)
        self._remind_in(REPEAT_SECONDS)

    def _remind_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        later = self._later or asyncio.get_running_loop().call_later
        self._timer = later(seconds, self._remind)
