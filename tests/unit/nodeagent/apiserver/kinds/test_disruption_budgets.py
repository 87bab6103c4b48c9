"""How many of some pods may be evicted: what a budget may say, and what it comes to."""

from typing import Any

import pytest

from nodeagent.apiserver.kinds import hooks_for
from nodeagent.apiserver.kinds.disruption_budgets import RESOURCE, Count, count, covers

NOW = 1_700_000_000.0
AT_NOW, A_MINUTE_AGO, LONG_AGO = "2023-11-14T22:13:20Z", "2023-11-14T22:12:20Z", "2023-11-14T22:03:20Z"


def budget(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "b", "namespace": "default", "generation": 2}
    return {"metadata": metadata, "spec": spec, "status": status or {}}


def pod(name: str, *, ready: bool = True, **metadata: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": {"name": name, **metadata}, "status": {"phase": "Running", "conditions": conditions}}


PODS = [pod("a"), pod("b"), pod("c", ready=False)]


def figures(found: Count) -> tuple[int, int, int, int]:
    """(allowed, healthy, desired, expected)"""
    status = found.status
    return tuple(status[name] for name in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 1}, (1, 2, 1, 3)),
        ({"minAvailable": 2}, (0, 2, 2, 3)),
        ({"minAvailable": 5}, (0, 2, 5, 3)),
        ({"minAvailable": 0}, (2, 2, 0, 3)),
        ({"minAvailable": "50%"}, (0, 2, 0, 0)),
        ({"maxUnavailable": 1}, (0, 2, 0, 0)),
        ({}, (0, 2, 0, 0)),
    ],
)
def test_what_is_allowed(spec: dict[str, Any], expected: tuple[int, int, int, int]) -> None:
    """Healthy pods beyond the least number. A share is of what controllers ask for: of pods without one it allows nothing."""
    found = count(budget(**spec), PODS, NOW)
    assert figures(found) == expected
    assert found.unmanaged == (() if spec.get("minAvailable") in (0, 1, 2, 5) else ("a", "b", "c"))
    (condition,) = found.status["conditions"]
    told = ("True", "SufficientPods") if expected[0] else ("False", "InsufficientPods")
    assert (condition["type"], condition["status"], condition["reason"]) == ("DisruptionAllowed", *told)
    assert (condition["observedGeneration"], condition["lastTransitionTime"]) == (2, AT_NOW)
    assert found.status["observedGeneration"] == 2


def test_no_pods() -> None:
    """Nothing may be evicted: the first pods are safe as they come."""
    assert figures(count(budget(minAvailable=0), [], NOW)) == (0, 0, 0, 0)


def test_pods_that_go() -> None:
    """One that is being deleted is not healthy, nor one whose eviction was granted, for two minutes; after that it is told."""
    evicted = {"a": A_MINUTE_AGO, "b": LONG_AGO, "gone": A_MINUTE_AGO, "c": A_MINUTE_AGO}
    pods = [pod("a"), pod("b"), pod("c", deletionTimestamp=AT_NOW), pod("d")]
    found = count(budget({"disruptedPods": evicted}, minAvailable=1), pods, NOW)
    assert figures(found) == (1, 2, 1, 4)
    assert found.status["disruptedPods"] == {"a": A_MINUTE_AGO}
    assert (found.overdue, found.look_again) == (("b",), NOW + 60)


def test_a_condition_that_stays() -> None:
    """It keeps its time, and others their place."""
    first = count(budget(minAvailable=1), PODS, NOW - 100).status
    first["conditions"].insert(0, {"type": "Other", "status": "True"})
    again = count(budget(first, minAvailable=0), PODS, NOW).status["conditions"]
    assert [item["type"] for item in again] == ["Other", "DisruptionAllowed"]
    assert again[1]["lastTransitionTime"] != AT_NOW


def test_controllers_that_this_api_does_not_have() -> None:
    """What they ask for cannot be told: nothing may be evicted, the condition says why, and the generation is not observed."""
    owned = pod("a", ownerReferences=[{"kind": "ReplicaSet", "name": "r", "controller": True}])
    found = count(budget({"observedGeneration": 1, "currentHealthy": 1}, maxUnavailable=1), [owned], NOW)
    assert found.error == 'found no controllers for pod "a"'
    assert figures(found) == (0, 1, 0, 0) and found.status["observedGeneration"] == 1
    assert found.status["conditions"][0]["reason"] == "SyncFailed"
    assert figures(count(budget(minAvailable=0), [owned], NOW)) == (1, 1, 0, 1)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [(None, False), ({}, True), ({"matchLabels": {"a": "b"}}, True), ({"matchLabels": {"a": "c"}}, False)],
)
def test_whom_it_covers(selector: Any, expected: bool) -> None:
    """None: nobody; an empty selector: all of the namespace."""
    assert covers(budget(selector=selector), pod("p", labels={"a": "b"})) is expected


@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        ({"minAvailable": 1, "maxUnavailable": 1}, "spec", "minAvailable and maxUnavailable cannot be both set"),
        ({"minAvailable": -1}, "spec.minAvailable", "must be greater than or equal to 0"),
        ({"maxUnavailable": "101%"}, "spec.maxUnavailable", "Must not be greater than 100%"),
        ({"maxUnavailable": "half"}, "spec.maxUnavailable", "a valid percent string must be"),
        ({"unhealthyPodEvictionPolicy": "x"}, "spec.unhealthyPodEvictionPolicy", '"AlwaysAllow", "IfHealthyBudget"'),
        ({"selector": {"matchLabels": {"-": "b"}}}, "spec.selector.matchLabels", "name part must consist of"),
    ],
)
def test_what_it_may_not_say(spec: dict[str, Any], field: str, text: str) -> None:
    """Each with its field."""
    (error,) = hooks_for(RESOURCE).validate_create(budget(**spec))
    assert error.field == field and text in str(error)


def test_what_it_may_say() -> None:
    """Numbers, shares, both policies; counts of its status are not negative."""
    for spec in ({"minAvailable": 0}, {"maxUnavailable": "100%", "unhealthyPodEvictionPolicy": "AlwaysAllow"}):
        assert hooks_for(RESOURCE).validate_create(budget(**spec)) == []
    new = budget({"disruptionsAllowed": -1, "expectedPods": 0})
    assert [error.field for error in hooks_for(RESOURCE).validate_update(new, budget(), "status")] == [
        "status.disruptionsAllowed"
    ]
