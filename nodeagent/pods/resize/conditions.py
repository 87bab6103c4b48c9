"""PodResizePending and PodResizeInProgress of one pod: pure transitions. Source: docs/facts/pod-lifecycle.md 4.7 and 6.2."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from lightkube.models.core_v1 import PodCondition

from nodeagent.pods.status.conditions import RESIZE_IN_PROGRESS, RESIZE_PENDING, find

DEFERRED = "Deferred"
INFEASIBLE = "Infeasible"
ERROR = "Error"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeConditions:
    """Either may be absent; what is there is True."""

    pending: PodCondition | None = None
    in_progress: PodCondition | None = None

    def listed(self) -> tuple[PodCondition, ...]:
        """In the order of the status."""
        return tuple(condition for condition in (self.pending, self.in_progress) if condition is not None)

    def with_pending(self, reason: str, message: str, generation: int, now: datetime) -> "ResizeConditions":
        made = _condition(RESIZE_PENDING, self.pending, reason, message, generation, now)
        return replace(self, pending=made)

    def with_in_progress(self, generation: int, now: datetime) -> "ResizeConditions":
        """The node has agreed to the resize of that generation. An error of before stands until it is over."""
        old = self.in_progress
        reason, message = (old.reason or "", old.message or "") if old is not None else ("", "")
        return replace(self, in_progress=_condition(RESIZE_IN_PROGRESS, old, reason, message, generation, now))

    def with_error(self, message: str, generation: int, now: datetime) -> "ResizeConditions":
        """Actuation failed; the generation it was begun with stands."""
        old = self.in_progress
        begun = (old.observedGeneration or 0) if old is not None else generation
        return replace(self, in_progress=_condition(RESIZE_IN_PROGRESS, old, ERROR, message, begun, now))


NONE = ResizeConditions()


def read(conditions: Iterable[PodCondition] | None) -> ResizeConditions:
    """As an agent that starts again finds them in the API."""
    listed = tuple(conditions or ())
    return ResizeConditions(pending=find(listed, RESIZE_PENDING), in_progress=find(listed, RESIZE_IN_PROGRESS))


def _condition(
    type: str, old: PodCondition | None, reason: str, message: str, generation: int, now: datetime
) -> PodCondition:
    """The old object where it says the same: probing again is no news, and no patch to the API."""
    now = now.replace(microsecond=0)
    if old is not None and (old.reason or "", old.message or "", old.observedGeneration or 0) == (
        reason,
        message,
        generation,
    ):
        return old
    kept = old is not None and (old.reason or "") == reason
    return PodCondition(
        type=type,
        status="True",
        reason=reason or None,
        message=message or None,
        lastProbeTime=now,
        lastTransitionTime=(old.lastTransitionTime if old is not None and kept else None) or now,
        observedGeneration=generation or None,
    )
