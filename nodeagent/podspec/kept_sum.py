"""What a node's pods ask for together: asked for at each pod's start, so the sum is kept, and told only of what changes."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from nodeagent.podspec.effective import Amounts, add, requests_of
from nodeagent.podspec.pod import AgentPod


def requests_together(pods: Sequence[AgentPod]) -> Amounts:
    """Added up afresh."""
    total: Amounts = {}
    for pod in pods:
        add(total, requests_of(pod))
    return total


class KeptSum:
    """The same, from the sum of the last time: exact amounts lose nothing by being taken away again.

    A pod's requests never change but with the `AgentPod`, which remembers them: the same object is the same amounts, and
    whether it `counts` is asked once. What has changed is found by set operations on identities, without a look at each pod.
    """

    def __init__(self, counts: Callable[[AgentPod], bool] = lambda pod: True) -> None:
        self._counts = counts
        self._seen: dict[int, AgentPod] = {}  # by identity, which nobody else has while it is here
        self._counted: set[int] = set()
        self._total: Amounts = {}

    def of(self, pods: Sequence[AgentPod]) -> Mapping[str, Fraction]:
        """Of these pods, each once. Good until the next call."""
        before, now = self._seen, {id(pod): pod for pod in pods}
        for gone in before.keys() - now.keys():
            if gone in self._counted:
                self._counted.discard(gone)
                self._take(requests_of(before[gone]))
        for new in now.keys() - before.keys():
            if self._counts(now[new]):
                self._counted.add(new)
                add(self._total, requests_of(now[new]))
        self._seen = now
        return self._total

    def _take(self, amounts: Mapping[str, Fraction]) -> None:
        for name, amount in amounts.items():
            self._total[name] -= amount
