"""nodeagent.pods.admission.preemption: docs/facts/node-resources.md 3.4 and 4.6."""

from typing import Any

import pytest

from nodeagent.pods.admission.fit import Shortage
from nodeagent.pods.admission.preemption import NoRoom, preemptable, termination_of, victims
from nodeagent.pods.rules.model import Termination

CRITICAL = {"priority": 2_000_000_000}


def short(**missing: int) -> list[Shortage]:
    return [Shortage(resource=name, requested=amount, used=10, capacity=10) for name, amount in missing.items()]


def make(kit: Any, name: str, *, limits: bool = False, priority: int | None = 0, **requests: str) -> Any:
    """BestEffort without requests, Guaranteed with limits, else Burstable."""
    resources: dict[str, Any] = {"requests": requests, **({"limits": requests} if limits else {})}
    return kit.pod([{"name": "main", "resources": resources}], meta={"name": name, "uid": name}, priority=priority)


def names(pods: Any) -> list[str]:
    return [pod.metadata.name for pod in pods]


@pytest.mark.parametrize(
    ("others", "missing", "expected"),
    [
        # one place: the BestEffort pod goes
        ([("b", {"cpu": "1"}), ("e", {})], {"pods": 1}, ["e"]),
        # BestEffort frees no CPU: a Burstable one goes, and the nearest of them
        ([("e", {}), ("b1", {"cpu": "100m"}), ("b2", {"cpu": "2"}), ("b3", {"cpu": "900m"})], {"cpu": 500}, ["b3"]),
        # Guaranteed is spared as long as Burstable suffices
        ([("g", {"cpu": "2", "memory": "1Gi", "limits": True}), ("b", {"cpu": "600m"})], {"cpu": 500}, ["b"]),
        # and goes when not; then nothing else needs to
        ([("g", {"cpu": "2", "memory": "1Gi", "limits": True}), ("b", {"cpu": "100m"})], {"cpu": 500}, ["g"]),
        # several, the nearest first; killed in the order of the classes
        (
            [
                ("g", {"cpu": "300m", "memory": "1Gi", "limits": True}),
                ("b1", {"cpu": "300m"}),
                ("b2", {"cpu": "350m"}),
                ("e", {}),
            ],
            {"cpu": 800, "pods": 1},
            ["b2", "b1", "g"],
        ),
        # equally near: less memory, then less CPU
        ([("b1", {"cpu": "2", "memory": "2Gi"}), ("b2", {"cpu": "3", "memory": "1Gi"})], {"cpu": 500}, ["b2"]),
        ([("b1", {"cpu": "3", "memory": "1Gi"}), ("b2", {"cpu": "2", "memory": "1Gi"})], {"cpu": 500}, ["b2"]),
        # the second resource is nearer to one that frees a bit of both
        ([("b1", {"cpu": "1"}), ("b2", {"cpu": "1", "memory": "64"})], {"cpu": 1000, "memory": 64}, ["b2"]),
    ],
)
def test_who_has_to_end(kit: Any, others: Any, missing: Any, expected: list[str]) -> None:
    """4.6: as few and as little as needed, in the order BestEffort, Burstable, Guaranteed."""
    pods = [make(kit, name, **shape) for name, shape in others]
    assert names(victims(make(kit, "new", priority=CRITICAL["priority"]), pods, short(**missing))) == expected


@pytest.mark.parametrize(
    ("others", "missing", "text"),
    [
        ([], {"cpu": 500}, "[(res: cpu, q: 500), ]"),
        ([("b", {"cpu": "200m"})], {"cpu": 500, "memory": 7}, "[(res: cpu, q: 300), (res: memory, q: 7), ]"),
        ([("critical", {"cpu": "1", "priority": 2_000_000_000})], {"cpu": 500}, "[(res: cpu, q: 500), ]"),
    ],
)
def test_no_room(kit: Any, others: Any, missing: Any, text: str) -> None:
    """4.6: the words, with what stays unmet; critical pods are not candidates."""
    pods = [make(kit, name, **shape) for name, shape in others]
    with pytest.raises(NoRoom) as caught:
        victims(make(kit, "new", priority=2_000_000_000), pods, short(**missing))
    assert str(caught.value) == f"no set of running pods found to reclaim resources: {text}"


def test_pod_level_resources_alone_count(kit: Any) -> None:
    """3.2: a pod that declares resources as a whole frees only those."""
    pod = kit.pod(
        [{"name": "main", "resources": {"requests": {"ephemeral-storage": "5", "cpu": "1"}}}],
        resources={"requests": {"cpu": "2"}},
    )
    new = make(kit, "new", priority=2_000_000_000)
    assert victims(new, [pod], short(cpu=2000)) == [pod]
    with pytest.raises(NoRoom):
        victims(new, [pod], short(**{"ephemeral-storage": 1}))


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        (2_000_000_000, 0, True),
        (2_000_000_000, None, True),
        (2_000_001_000, 2_000_000_000, True),
        (2_000_000_000, 2_000_000_000, False),
        (1, 0, True),
        (0, 0, False),
        (None, 0, False),
    ],
)
def test_who_may_take_whose_place(kit: Any, mine: Any, theirs: Any, expected: bool) -> None:
    """3.4: critical over not critical, else strictly higher priority."""
    assert preemptable(kit.pod(priority=mine), kit.pod(priority=theirs)) is expected


def test_a_static_pod_is_critical(kit: Any) -> None:
    """3.4."""
    static = kit.pod(meta={"annotations": {"kubernetes.io/config.source": "file"}})
    assert preemptable(static, kit.pod(priority=0))
    assert not preemptable(static, static)


def test_how_a_victim_ends(kit: Any) -> None:
    """2.5: its own grace period, Preempting, DisruptionTarget."""
    assert termination_of(kit.pod(terminationGracePeriodSeconds=17)) == Termination(
        grace_seconds=17,
        reason="Preempting",
        message="Preempted in order to admit critical pod",
        failed=True,
        disruption_message="Pod was preempted by Kubelet to accommodate a critical pod.",
    )
