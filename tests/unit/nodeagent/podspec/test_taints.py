"""Tolerations and taints, by the Kubernetes API."""

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import Taint, Toleration

from nodeagent.podspec.taints import tolerates, untolerated


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Equal", "value": "w"}, False),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "x", "operator": "Exists"}, False),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, True),
        ({"value": "v"}, False),
    ],
)
def test_tolerations(toleration: Any, expected: bool) -> None:
    """Kubernetes API, Toleration: key, operator, value and effect."""
    taint = Taint(key="k", value="v", effect="NoExecute")
    assert tolerates([msgspec.convert(toleration, Toleration)], taint) is expected


@pytest.mark.parametrize(("toleration", "covered"), [
    ({}, False), ({"operator": "Exists"}, True), ({"key": "a", "value": "b"}, True), ({"key": "a"}, False),
    ({"key": "a", "operator": "Exists", "effect": "NoExecute"}, False), ({"key": "b", "operator": "Exists"}, False),
    ({"key": "a", "operator": "Near", "value": "b"}, False),
])  # fmt: skip
def test_tolerates(toleration: Any, covered: bool) -> None:
    """One toleration and one taint; an operator that nobody knows covers nothing."""
    taint = Taint(key="a", value="b", effect="NoSchedule")
    assert tolerates([msgspec.convert(toleration, Toleration)], taint) is covered


def test_the_first_untolerated_taint() -> None:
    """Only taints of the effects that are asked about count, in their order."""
    taints = [
        Taint(key=key, effect=effect) for key, effect in (("a", "NoExecute"), ("b", "NoSchedule"), ("c", "NoExecute"))
    ]
    accepted = [Toleration(key="a", operator="Exists")]
    assert untolerated(taints, accepted, ("NoExecute",)) == taints[2]
    assert untolerated(taints, [], ("NoSchedule", "NoExecute")) == taints[0]
    assert untolerated(taints, accepted, ("PreferNoSchedule",)) is None
