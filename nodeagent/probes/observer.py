"""Who counts the runs of probes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedProbe:
    """One probe of one container. `type`: Liveness, Readiness or Startup."""

    type: str
    container: str
    pod: str
    namespace: str
    pod_uid: str


class ProbeObserver(Protocol):
    """Called on the event loop; returns at once."""

    def ran(self, probe: ObservedProbe, *, ok: bool, seconds: float) -> None:
        """A run that came to a verdict."""
        ...

    def forget(self, probes: Iterable[ObservedProbe]) -> None:
        """These are not made any more."""
        ...


class NotObserved:
    """Nobody counts."""

    def ran(self, probe: ObservedProbe, *, ok: bool, seconds: float) -> None:
        return

    def forget(self, probes: Iterable[ObservedProbe]) -> None:
        return
