"""Which pods have to end for a critical pod to fit. Pure.

Source: docs/facts/node-resources.md 3.4 and 4.6, docs/facts/pod-lifecycle.md 2.5.
"""

from collections.abc import Mapping, Sequence

from nodeagent.pods.admission.fit import CPU, Shortage, whole
from nodeagent.pods.rules.model import Termination
from nodeagent.pods.rules.termination import pod_grace_seconds
from nodeagent.podspec.critical import is_critical
from nodeagent.podspec.effective import amounts, overhead, requests_of
from nodeagent.podspec.node_fit import PODS
from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.qos import BEST_EFFORT, BURSTABLE, GUARANTEED, qos_class

REASON = "Preempting"
MESSAGE = "Preempted in order to admit critical pod"
DISRUPTION_MESSAGE = "Pod was preempted by Kubelet to accommodate a critical pod."

Needs = Mapping[str, int]  # resource -> how much more has to become free, never 0


class NoRoom(Exception):
    """Not even all pods that may be preempted would free enough."""

    def __init__(self, unmet: Needs) -> None:
        listed = "".join(f"(res: {name}, q: {amount}), " for name, amount in unmet.items())
        super().__init__(f"no set of running pods found to reclaim resources: [{listed}]")


def victims(pod: AgentPod, others: Sequence[AgentPod], shortages: Sequence[Shortage]) -> list[AgentPod]:
    """The pods to end, in the order to end them in: BestEffort, Burstable, Guaranteed. Raises NoRoom.

    A class is spared as far as those before it suffice, and of a class those go first that free what is needed best.
    """
    needs: Needs = {shortage.resource: shortage.missing for shortage in shortages}
    candidates = [other for other in others if preemptable(pod, other)]
    unmet = _left(needs, candidates)
    if unmet:
        raise NoRoom(unmet)
    classes = {name: [item for item in candidates if qos_class(item.spec, item.status) == name] for name in _CLASSES}
    best_effort, burstable = classes[BEST_EFFORT], classes[BURSTABLE]
    from_guaranteed = _nearest(classes[GUARANTEED], _left(needs, [*best_effort, *burstable]))
    from_burstable = _nearest(burstable, _left(needs, [*best_effort, *from_guaranteed]))
    from_best_effort = _nearest(best_effort, _left(needs, [*from_burstable, *from_guaranteed]))
    return [*from_best_effort, *from_burstable, *from_guaranteed]


def preemptable(preemptor: AgentPod, other: AgentPod) -> bool:
    """Whether one pod may take another's place."""
    if is_critical(preemptor) and not is_critical(other):
        return True
    mine, theirs = preemptor.spec.priority, other.spec.priority
    return mine is not None and theirs is not None and mine > theirs


def termination_of(victim: AgentPod) -> Termination:
    """A preempted pod ends in its own grace period, and has failed."""
    return Termination(
        grace_seconds=pod_grace_seconds(victim),
        reason=REASON,
        message=MESSAGE,
        failed=True,
        disruption_message=DISRUPTION_MESSAGE,
    )


_CLASSES = (BEST_EFFORT, BURSTABLE, GUARANTEED)


def _nearest(pods: Sequence[AgentPod], needs: Needs) -> list[AgentPod]:
    """Of these pods, one after the other the one nearest to the needs that are left, until there are none."""
    left, chosen = list(pods), list[AgentPod]()
    while needs:
        if not left:
            raise NoRoom(needs)
        best = min(left, key=lambda pod: (_distance(pod, needs), _request(pod, "memory"), _request(pod, CPU)))
        left.remove(best)
        chosen.append(best)
        needs = _left(needs, [best])
    return chosen


def _distance(pod: AgentPod, needs: Needs) -> float:
    """How far the pod's end is from meeting the needs: 0 for all of them, 1 for each that it leaves untouched."""
    unmet = (max(0, amount - _request(pod, name)) / amount for name, amount in needs.items())
    return sum(share * share for share in unmet)


def _left(needs: Needs, ended: Sequence[AgentPod]) -> Needs:
    after = {name: amount - sum(_request(pod, name) for pod in ended) for name, amount in needs.items()}
    return {name: amount for name, amount in after.items() if amount > 0}


def _request(pod: AgentPod, resource: str) -> int:
    """What the end of a pod frees. Where the pod as a whole declares resources, only those count."""
    if resource == PODS:
        return 1
    requests = requests_of(pod)
    if pod.spec.resources is not None:
        own, extra = amounts(pod.spec.resources, "requests"), overhead(pod.spec)
        requests = {name: value + extra.get(name, 0) for name, value in own.items()}
    return whole(resource, requests[resource]) if resource in requests else 0
