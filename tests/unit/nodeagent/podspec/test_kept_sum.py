"""The sum of what pods ask for, kept."""

import random
from fractions import Fraction

from lightkube.models.core_v1 import Container, Pod, PodSpec, ResourceRequirements
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.podspec.kept_sum import KeptSum, requests_together
from nodeagent.podspec.pod import API, AgentPod


def pod(uid: int, **requests: str) -> AgentPod:
    container = Container(name="c", resources=ResourceRequirements(requests=requests))
    return AgentPod.of(Pod(metadata=ObjectMeta(uid=str(uid)), spec=PodSpec(containers=[container])), API)


def nonzero(amounts: object) -> dict[str, Fraction]:
    assert isinstance(amounts, dict)
    return {name: amount for name, amount in amounts.items() if amount}


def test_it_is_the_sum_whatever_has_changed() -> None:
    """Pods come, go, and ask for something else; amounts in thirds of nothing a float could hold."""
    chance, kept, pods = random.Random(1), KeptSum(), dict[int, AgentPod]()
    for _ in range(300):
        uid = chance.randrange(20)
        if chance.random() < 0.4:
            pods.pop(uid, None)
        else:
            pods[uid] = pod(uid, cpu=f"{chance.randrange(1, 999)}m", memory=f"{chance.randrange(9)}Mi")
        now = list(pods.values())
        assert nonzero(kept.of(now)) == nonzero(requests_together(now))
    assert nonzero(kept.of([])) == {}


def test_some_do_not_count() -> None:
    """Nor do they when they go, or come again as another object."""
    kept = KeptSum(lambda each: each.uid != "1")
    pods = [pod(0, cpu="1"), pod(1, cpu="2"), pod(2, cpu="4")]
    assert nonzero(kept.of(pods)) == {"cpu": 5}
    assert nonzero(kept.of([pods[0], pod(1, cpu="8")])) == {"cpu": 1}
    assert nonzero(kept.of([])) == {}


def test_it_is_told_only_of_what_changes() -> None:
    """Each pod is added once, however often the sum is asked for and whoever comes."""
    added: list[object] = []

    class Counting(dict[str, Fraction]):
        def items(self) -> object:  # type: ignore[override]  # the way by which amounts are added and taken away
            added.append(self)
            return super().items()

    kept, pods = KeptSum(), list[AgentPod]()
    for number in range(50):
        new = pod(number, cpu="1")
        new.requests.append(Counting(cpu=Fraction(1)))
        pods.append(new)
        assert kept.of(pods) == {"cpu": number + 1}
    assert len(added) == 50
