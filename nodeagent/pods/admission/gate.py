"""Admission of a new pod to the node, and what may turn a refusal before it becomes final.

(resources of its own: assign them) ──> evaluate ──(refused after all)──> release
evaluate ──(refused for its labels alone)──> read the Node again ──> evaluate
   └───────(critical, and room is missing)──> preempt others, wait ──> evaluate without the fit
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from nodeagent.api.events import Events
from nodeagent.pods.admission.preemption import MESSAGE, REASON, NoRoom, termination_of, victims
from nodeagent.pods.admission.rules import AdmissionResult, NodeView, before_resources, evaluate
from nodeagent.pods.rules.model import StartFailure, Termination
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.resources.contract import CannotAssign

log = logging.getLogger(__name__)

UNEXPECTED = "UnexpectedAdmissionError"


@dataclass(frozen=True, slots=True)
class Deferred:
    """The answer takes time: awaiting it gives the refusal, or None. No other pod may be admitted in the meantime."""

    answer: Callable[[], Awaitable[StartFailure | None]]


Answer = StartFailure | Deferred | None


class KillError(Exception):
    """A pod that was to end for another has not ended in time."""


class EndPod(Protocol):
    async def __call__(self, pod: AgentPod, termination: Termination) -> None:
        """End a pod and return when its containers have. Raises KillError."""
        ...


class Resources(Protocol):
    """Who gives containers CPUs, memory and devices for themselves."""

    def concerns(self, pod: AgentPod) -> bool:
        """Whether the pod is to be given any."""
        ...

    async def assign(self, pod: AgentPod) -> None:
        """All that it needs, or nothing. Raises CannotAssign."""
        ...

    def release(self, uid: PodUID) -> None: ...

    def in_use(self) -> Mapping[str, int]:
        """Devices that pods have, by resource: also while their plugin is away, and the node counts none."""
        ...


class AdmissionGate:
    """`view`: the node as known now; `fresh_view`: with the Node read from the API, or as known when that fails.

    `begun`: whether an agent before this one has begun the pod. No pressure sends such a pod away: ending what runs here is
    eviction's to decide, not that of an agent that starts again. `preempted` hears of each pod that ends for another, by the
    resource that was short.
    """

    def __init__(
        self,
        *,
        view: Callable[[], NodeView],
        fresh_view: Callable[[], Awaitable[NodeView]],
        end_pod: EndPod,
        begun: Callable[[PodUID], bool],
        resources: Resources,
        events: Events,
        preempted: Callable[[str], None] = lambda resource: None,
    ) -> None:
        self._view = view
        self._fresh_view = fresh_view
        self._end_pod = end_pod
        self._begun = begun
        self._resources = resources
        self._events = events
        self._preempted = preempted

    def admit(self, pod: AgentPod, others: Sequence[AgentPod]) -> Answer:
        """`others`: the node's active pods, with their allocated resources."""
        if not self._resources.concerns(pod):
            return self._judge(pod, others)
        if (refusal := before_resources(pod, others, self._for(pod, self._view()))) is not None:
            return refusal
        return Deferred(lambda: self._with_resources(pod, others))

    async def _with_resources(self, pod: AgentPod, others: Sequence[AgentPod]) -> StartFailure | None:
        """Resources first, as a kubelet does: where both are short, a pod is refused for them."""
        try:
            await self._resources.assign(pod)
        except CannotAssign as error:
            return StartFailure(reason=error.reason, message=str(error))
        answer = self._judge(pod, others)
        refusal = await answer.answer() if isinstance(answer, Deferred) else answer
        if refusal is not None and not self._begun(pod.uid):  # of one that runs it is taken back when it has ended
            self._resources.release(pod.uid)
        return refusal

    def _judge(self, pod: AgentPod, others: Sequence[AgentPod]) -> Answer:
        result = evaluate(pod, others, self._for(pod, self._view()))
        if result.stale_node:
            return Deferred(lambda: self._look_again(pod, others))
        if result.shortages:
            return Deferred(lambda: self._make_room(pod, others, result))
        return result.refusal

    async def _look_again(self, pod: AgentPod, others: Sequence[AgentPod]) -> StartFailure | None:
        result = evaluate(pod, others, self._for(pod, await self._fresh_view()))
        return await self._make_room(pod, others, result) if result.shortages else result.refusal

    async def _make_room(
        self, pod: AgentPod, others: Sequence[AgentPod], result: AdmissionResult
    ) -> StartFailure | None:
        try:
            chosen = victims(pod, others, result.shortages)
        except NoRoom as error:
            return StartFailure(
                reason=UNEXPECTED,
                message="Unexpected error while attempting to recover from admission failure: "
                f"preemption: error finding a set of pods to preempt: {error}",
            )
        for victim in chosen:
            log.info("pod %s is preempted for critical pod %s", victim.describe(), pod.describe())
            self._events.event(victim, "Warning", REASON, MESSAGE)
            self._preempted(result.shortages[0].resource)
            try:
                await self._end_pod(victim, termination_of(victim))
            except KillError as error:
                log.warning("pod %s: %s", victim.describe(), error)  # it is on its way out all the same
        left = [other for other in others if other not in chosen]
        return evaluate(pod, left, self._for(pod, self._view()), room_made=True).refusal

    def _for(self, pod: AgentPod, view: NodeView) -> NodeView:
        if view.pressures and self._begun(pod.uid):
            view = replace(view, pressures=())
        short = {
            name: str(count)
            for name, count in self._resources.in_use().items()
            if name in view.allocatable and count > int(view.allocatable[name])
        }
        return replace(view, allocatable={**view.allocatable, **short}) if short else view
