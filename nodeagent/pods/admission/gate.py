"""The door of the node: judges a new pod, and does what may turn a refusal before it becomes final.

judge ──(refused for its labels alone)──> read the Node anew ──> judge
  └────(critical, and room is missing)──> end others, wait ──> judge without the fit
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from nodeagent.api.events import Events
from nodeagent.pods.admission.preemption import MESSAGE, REASON, NoRoom, termination_of, victims
from nodeagent.pods.admission.rules import Judgement, NodeView, judge
from nodeagent.pods.rules.model import StartFailure, Termination
from nodeagent.podspec.pod import AgentPod, PodUID

log = logging.getLogger(__name__)

UNEXPECTED = "UnexpectedAdmissionError"


@dataclass(frozen=True, slots=True)
class Later:
    """The answer takes time: awaiting it gives the refusal, or None. Nobody else may be judged in the meantime."""

    answer: Callable[[], Awaitable[StartFailure | None]]


Answer = StartFailure | Later | None


class KillError(Exception):
    """A pod that was to end for another has not ended in time."""


class EndPod(Protocol):
    async def __call__(self, pod: AgentPod, termination: Termination) -> None:
        """End a pod and return when its containers have. Raises KillError."""
        ...


class AdmissionGate:
    """`view`: the node as known now; `fresh_view`: with the Node read from the API, or as known when that fails.

    `begun`: whether an agent before this one has begun the pod. No pressure sends such a pod away: ending what runs here is
    eviction's to decide, not that of an agent that starts again.
    """

    def __init__(
        self,
        *,
        view: Callable[[], NodeView],
        fresh_view: Callable[[], Awaitable[NodeView]],
        end_pod: EndPod,
        begun: Callable[[PodUID], bool],
        events: Events,
    ) -> None:
        self._view = view
        self._fresh_view = fresh_view
        self._end_pod = end_pod
        self._begun = begun
        self._events = events

    def admit(self, pod: AgentPod, others: Sequence[AgentPod]) -> Answer:
        """`others`: the node's active pods, with their allocated resources."""
        judgement = judge(pod, others, self._for(pod, self._view()))
        if judgement.stale_node:
            return Later(lambda: self._look_again(pod, others))
        if judgement.shortages:
            return Later(lambda: self._make_room(pod, others, judgement))
        return judgement.refusal

    async def _look_again(self, pod: AgentPod, others: Sequence[AgentPod]) -> StartFailure | None:
        judgement = judge(pod, others, self._for(pod, await self._fresh_view()))
        return await self._make_room(pod, others, judgement) if judgement.shortages else judgement.refusal

    async def _make_room(self, pod: AgentPod, others: Sequence[AgentPod], judgement: Judgement) -> StartFailure | None:
        try:
            chosen = victims(pod, others, judgement.shortages)
        except NoRoom as error:
            return StartFailure(
                reason=UNEXPECTED,
                message="Unexpected error while attempting to recover from admission failure: "
                f"preemption: error finding a set of pods to preempt: {error}",
            )
        for victim in chosen:
            log.info("pod %s is preempted for critical pod %s", victim.describe(), pod.describe())
            self._events.event(victim, "Warning", REASON, MESSAGE)
            try:
                await self._end_pod(victim, termination_of(victim))
            except KillError as error:
                log.warning("pod %s: %s", victim.describe(), error)  # it is on its way out all the same
        left = [other for other in others if other not in chosen]
        return judge(pod, left, self._for(pod, self._view()), room_made=True).refusal

    def _for(self, pod: AgentPod, view: NodeView) -> NodeView:
        return replace(view, pressures=()) if view.pressures and self._begun(pod.uid) else view
