"""nodeagent.pods.features: what several features want of one pod becomes one wish, and each is asked to do its own work."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from lightkube.models.core_v1 import PodCondition, ResourceRequirements, ResourceStatus

from nodeagent.pods.features.contract import Contribution, PodFeature, StatusAdditions
from nodeagent.pods.features.features import Features
from nodeagent.pods.rules.model import Observed
from nodeagent.podspec.pod import AgentPod, PodUID
from runtimes.hollow.factory import hollow_runtime
from runtimes.registry import Runtime


class Noted(PodFeature):
    """Answers what a test says, and writes down what it is asked."""

    name: ClassVar[str] = "noted"

    def __init__(self, label: str, diary: list[str], wish: Contribution, additions: StatusAdditions) -> None:
        self.label, self.diary, self.wish, self.additions = label, diary, wish, additions

    def updated(self, pod: AgentPod) -> None:
        self.diary.append(f"{self.label} updated")

    def observed(self, pod: AgentPod, observed: Observed) -> Contribution:
        return self.wish

    def status(self, pod: AgentPod) -> StatusAdditions:
        return self.additions

    async def before_stop(self, pod: AgentPod, stopped: Mapping[str, str]) -> None:
        self.diary.append(f"{self.label} before {dict(stopped)}")

    async def act(self, runtime: Runtime, pod: AgentPod, observed: Observed) -> None:
        self.diary.append(f"{self.label} acts")

    def started(self, pod: AgentPod, names: Iterable[str]) -> None:
        self.diary.append(f"{self.label} started {list(names)}")

    def ended(self, uid: PodUID) -> None:
        self.diary.append(f"{self.label} ended {uid}")


def test_wishes_and_status_are_merged(kit: Any) -> None:
    """All restarts, the first one's message; all records of replacements; the earliest time; conditions in order, the first
    one's resources, the health that each knows of.
    """
    diary: list[str] = []
    one = Noted(
        "one",
        diary,
        Contribution(
            restarts={"c-0": "one says so"}, replaced=frozenset({"x"}), wake_at=kit.now + timedelta(seconds=9)
        ),
        StatusAdditions(conditions=(PodCondition(type="A", status="True"),)),
    )
    own, other = ResourceRequirements(limits={"cpu": "1"}), ResourceRequirements(limits={"cpu": "2"})
    two = Noted(
        "two",
        diary,
        Contribution(restarts={"c-0": "two says so", "d-0": "and this"}, has_work=True, wake_at=kit.now),
        StatusAdditions(
            conditions=(PodCondition(type="B", status="True"),),
            resources=own,
            container_resources={"c-0": own},
            health={"c": (ResourceStatus(name="example.com/d"),)},
        ),
    )
    three = Noted(
        "three",
        diary,
        Contribution(),
        StatusAdditions(
            resources=other,
            container_resources={"c-0": other, "d-0": other},
            health={"c": (ResourceStatus(name="claim:a"),), "d": (ResourceStatus(name="claim:b"),)},
        ),
    )
    features, pod = Features([one, two, three]), kit.pod()
    assert features.observed(pod, Observed()) == Contribution(
        restarts={"c-0": "one says so", "d-0": "and this"}, replaced=frozenset({"x"}), has_work=True, wake_at=kit.now
    )
    shown = features.status(pod)
    assert [condition.type for condition in shown.conditions] == ["A", "B"]
    assert (shown.resources, shown.container_resources) == (own, {"c-0": own, "d-0": other})
    assert {name: [each.name for each in found] for name, found in shown.health.items()} == {
        "c": ["example.com/d", "claim:a"],
        "d": ["claim:b"],
    }


async def test_only_those_with_work_act(kit: Any) -> None:
    """As they answered last; everything else is told to all, in their order."""
    diary: list[str] = []
    idle = Noted("idle", diary, Contribution(), StatusAdditions())
    busy = Noted("busy", diary, Contribution(has_work=True), StatusAdditions())
    features, pod = Features([idle, busy]), kit.pod()
    features.updated(pod)
    features.observed(pod, Observed())
    await features.before_stop(pod, {"c": "c-0"})
    await features.act(hollow_runtime("hollow", {}), pod, Observed())
    features.started(pod, ["c"])
    features.ended(PodUID("uid-1"))
    assert diary == [
        "idle updated",
        "busy updated",
        "idle before {'c': 'c-0'}",
        "busy before {'c': 'c-0'}",
        "busy acts",
        "idle started ['c']",
        "busy started ['c']",
        "idle ended uid-1",
        "busy ended uid-1",
    ]
    busy.wish = Contribution()
    features.observed(pod, Observed())
    diary.clear()
    await features.act(hollow_runtime("hollow", {}), pod, Observed())
    assert diary == []


async def test_a_feature_that_overrides_nothing_changes_nothing(kit: Any) -> None:
    """Every phase has an answer."""

    class Empty(PodFeature):
        name: ClassVar[str] = "empty"

    features, pod = Features([Empty()]), kit.pod()
    features.updated(pod)
    assert features.observed(pod, Observed()) == Contribution()
    assert features.status(pod) == StatusAdditions()
    await features.before_stop(pod, {})
    features.started(pod, ["c"])
    features.ended(PodUID("uid-1"))
