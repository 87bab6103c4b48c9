"""Up to which generation of a pod its resources have been decided on. Pure.

Who asks for a resize reads `status.observedGeneration` to know that the node has seen it, and then takes what else the status
says (allocated resources, PodResizePending, PodResizeInProgress) for the answer. So a generation is shown only with its answer:
until then the pod goes by the generation that its allocated resources stand for.
"""

import msgspec
from lightkube.models.core_v1 import Pod

from nodeagent.pods.resize.allocation import resources_of, same
from nodeagent.pods.status.phase import is_terminal
from nodeagent.podspec.containers import PodUID, uid_of


class Generations:
    def __init__(self) -> None:
        self._decided: dict[PodUID, int] = {}

    def seen(self, pod: Pod, before: Pod | None, *, settled: bool) -> None:
        """A pod as its source has it, and had it `before`. `settled`: it asks for what it has."""
        uid = uid_of(pod)
        if settled or _ends(pod):
            self._decided[uid] = generation(pod)
        elif uid not in self._decided:
            reported = pod.status.observedGeneration if pod.status is not None else None  # by the agent before this one
            self._decided[uid] = reported or generation(pod)
        elif before is not None and self.is_decided(before) and same(resources_of(before), resources_of(pod)):
            self._decided[uid] = generation(pod)  # whatever has changed, it is not what the pod waits for

    def admitted(self, pod: Pod) -> None:
        """It starts with what it asks for."""
        self._decided[uid_of(pod)] = generation(pod)

    def decide(self, pod: Pod) -> bool:
        """What this generation asks for has been answered. Returns whether that is news."""
        if self.is_decided(pod):
            return False
        self._decided[uid_of(pod)] = generation(pod)
        return True

    def is_decided(self, pod: Pod) -> bool:
        return self._decided.get(uid_of(pod), generation(pod)) >= generation(pod)

    def shown(self, pod: Pod) -> Pod:
        """The pod with the newest generation that has its answer; the same object where that is its own."""
        if self.is_decided(pod):
            return pod
        assert pod.metadata is not None
        metadata = msgspec.structs.replace(pod.metadata, generation=self._decided[uid_of(pod)])
        return msgspec.structs.replace(pod, metadata=metadata)

    def forget(self, uid: PodUID) -> None:
        self._decided.pop(uid, None)


def generation(pod: Pod) -> int:
    return (pod.metadata.generation if pod.metadata is not None else None) or 0


def _ends(pod: Pod) -> bool:
    """No resize of it is decided on any more."""
    gone = pod.metadata is not None and pod.metadata.deletionTimestamp is not None
    return gone or (pod.status is not None and is_terminal(pod.status.phase))
