"""Up to which generation of a pod its resources have been decided on. Pure.

Who asks for a resize reads `status.observedGeneration` to know that the node has seen it, and then takes what else the status
says (allocated resources, PodResizePending, PodResizeInProgress) for the answer. So a generation is shown only with its answer:
until then the pod goes by the generation that its allocated resources stand for.
"""

import dataclasses

import msgspec

from nodeagent.pods.resize.allocation import resources_of, same
from nodeagent.pods.status.phase import has_ended
from nodeagent.podspec.pod import AgentPod, PodUID


class Generations:
    def __init__(self) -> None:
        self._decided: dict[PodUID, int] = {}

    def seen(self, pod: AgentPod, before: AgentPod | None, *, settled: bool) -> None:
        """A pod as its source has it, and had it `before`. `settled`: it asks for what it has."""
        uid = pod.uid
        if settled or _ends(pod):
            self._decided[uid] = generation(pod)
        elif uid not in self._decided:
            reported = pod.status.observedGeneration if pod.status is not None else None  # by the agent before this one
            self._decided[uid] = reported or generation(pod)
        elif before is not None and self.is_decided(before) and same(resources_of(before), resources_of(pod)):
            self._decided[uid] = generation(pod)  # whatever has changed, it is not what the pod waits for

    def admitted(self, pod: AgentPod) -> None:
        """It starts with what it asks for."""
        self._decided[pod.uid] = generation(pod)

    def decide(self, pod: AgentPod) -> bool:
        """What this generation asks for has been answered. Returns whether that is news."""
        if self.is_decided(pod):
            return False
        self._decided[pod.uid] = generation(pod)
        return True

    def is_decided(self, pod: AgentPod) -> bool:
        return self._decided.get(pod.uid, generation(pod)) >= generation(pod)

    def shown(self, pod: AgentPod) -> AgentPod:
        """The pod with the newest generation that has its answer; the same object where that is its own."""
        if self.is_decided(pod):
            return pod
        metadata = msgspec.structs.replace(pod.metadata, generation=self._decided[pod.uid])
        return dataclasses.replace(pod, metadata=metadata)

    def forget(self, uid: PodUID) -> None:
        self._decided.pop(uid, None)


def generation(pod: AgentPod) -> int:
    return pod.metadata.generation or 0


def _ends(pod: AgentPod) -> bool:
    """No resize of it is decided on any more."""
    return pod.is_deleted or has_ended(pod)
