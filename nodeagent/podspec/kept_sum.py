"""What a node's pods ask for together: asked for at each pod's start, so the sum is kept, and told only of what changes."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from nodeagent.podspec.effective import Amounts, add, requests_of
from nodeagent.podspec.pod import AgentPod, PodUID


def requests_together(pods: Sequence[AgentPod]) -> Amounts:
    """Added up afresh."""
    total: Amounts = {}
    for pod in pods:
        add(total, requests_of(pod))
    return total


class KeptSum:
    """The same, from the sum of the last time: exact amounts lose nothing by being taken away again.

    A pod's requests never change but with the `AgentPod`, which remembers them: the same object is the same amounts.
    """

    def __init__(self) -> None:
        self._counted: dict[PodUID, Mapping[str, Fraction]] = {}
        self._total: Amounts = {}

    def of(self, pods: Sequence[AgentPod]) -> Mapping[str, Fraction]:
        """Of these pods, each once. Good until the next call."""
        counted = self._counted
        for pod in pods:
            known, now = counted.get(pod.uid), requests_of(pod)
            if known is not now:
                self._take(known)
                add(self._total, now)
                counted[pod.uid] = now
        if len(counted) > len(pods):
            for uid in counted.keys() - {pod.uid for pod in pods}:
                self._take(counted.pop(uid))
        return self._total

    def _take(self, known: Mapping[str, Fraction] | None) -> None:
        for name, amount in (known or {}).items():
            self._total[name] -= amount
