"""The features of a pod as its supervisor asks them: all at once, in their order."""

from collections.abc import Iterable, Mapping, Sequence

from nodeagent.pods.features.contract import Contribution, PodFeature, StatusAdditions
from nodeagent.pods.rules.model import Observed
from nodeagent.podspec.pod import AgentPod, PodUID
from runtimes.registry import Runtime


class Features:
    """One pod's. `act` reaches those that had work to do when they were asked last."""

    def __init__(self, features: Sequence[PodFeature]) -> None:
        self._features = tuple(features)
        self._with_work: tuple[PodFeature, ...] = ()

    def updated(self, pod: AgentPod) -> None:
        for feature in self._features:
            feature.updated(pod)

    def observed(self, pod: AgentPod, observed: Observed) -> Contribution:
        """What all of them want; where two restart a container, the message is the first one's."""
        found = [feature.observed(pod, observed) for feature in self._features]
        self._with_work = tuple(feature for feature, wish in zip(self._features, found, strict=True) if wish.has_work)
        return Contribution(
            restarts={id: text for wish in reversed(found) for id, text in wish.restarts.items()},
            replaced=frozenset().union(*(wish.replaced for wish in found)),
            has_work=bool(self._with_work),
            wake_at=min((wish.wake_at for wish in found if wish.wake_at is not None), default=None),
        )

    def status(self, pod: AgentPod) -> StatusAdditions:
        found = [feature.status(pod) for feature in self._features]
        return StatusAdditions(
            conditions=tuple(condition for item in found for condition in item.conditions),
            resources=next((item.resources for item in found if item.resources is not None), None),
            container_resources={
                id: known for item in reversed(found) for id, known in item.container_resources.items()
            },
            health={
                name: tuple(each for item in found for each in item.health.get(name, ()))
                for name in dict.fromkeys(name for item in found for name in item.health)
            },
        )

    async def before_stop(self, pod: AgentPod, stopped: Mapping[str, str]) -> None:
        for feature in self._features:
            await feature.before_stop(pod, stopped)

    async def act(self, runtime: Runtime, pod: AgentPod, observed: Observed) -> None:
        for feature in self._with_work:
            await feature.act(runtime, pod, observed)

    def started(self, pod: AgentPod, names: Iterable[str]) -> None:
        for feature in self._features:
            feature.started(pod, names)

    def ended(self, uid: PodUID) -> None:
        for feature in self._features:
            feature.ended(uid)
