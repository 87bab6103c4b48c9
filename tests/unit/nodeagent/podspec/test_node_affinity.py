"""Which nodes a pod asks for. All operators of expressions: tests/unit/nodeagent/pods/admission/test_rules.py."""

from typing import Any

import pytest
from pod_builders import pod_spec

from nodeagent.podspec.node_affinity import matches_node


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": list(terms)}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


@pytest.mark.parametrize(
    ("key", "operator", "values", "expected"),
    [
        ("metadata.name", "In", ["n"], True),
        ("metadata.name", "In", ["m"], False),
        ("metadata.name", "NotIn", ["m"], True),
        ("metadata.name", "NotIn", ["n"], False),
        # a field selector compares with one value, and knows nothing else
        ("metadata.name", "In", ["m", "n"], False),
        ("metadata.name", "NotIn", [], False),
        ("metadata.name", "Exists", [], False),
        ("metadata.name", "DoesNotExist", [], False),
        # nodes have no other field to select by: it is empty, whatever is asked for
        ("spec.providerID", "In", ["x"], False),
        ("spec.providerID", "NotIn", ["x"], True),
        ("spec.providerID", "DoesNotExist", [], False),
    ],
)
def test_fields(key: str, operator: str, values: list[str], expected: bool) -> None:
    """matchFields are field selectors: the node's name, equal or not."""
    term = {"matchFields": [{"key": key, "operator": operator, "values": values}]}
    assert matches_node(pod_spec({}, **affinity(term)), "n", {"spec.providerID": "x"}) is expected


def test_no_terms_match_nothing() -> None:
    """A required affinity without terms lets the pod go nowhere; none at all lets it go everywhere."""
    assert not matches_node(pod_spec({}, **affinity()), "n", {})
    assert matches_node(pod_spec({}), "n", {})


@pytest.mark.parametrize(
    ("label", "bound", "larger"),
    [
        ("5", "4", True),
        ("4", "5", False),
        ("-1", "-2", True),
        ("1_000", "4", False),
        ("9", "1_0", False),
        ("²", "1", False),
    ],
)
def test_only_integers_are_compared(label: str, bound: str, larger: bool) -> None:
    """Gt and Lt compare what the API calls an integer: an underscore, which Python reads over, is no digit."""
    term = {"matchExpressions": [{"key": "size", "operator": "Gt", "values": [bound]}]}
    assert matches_node(pod_spec({}, **affinity(term)), "n", {"size": label}) is larger
