"""Label selectors, node selectors, taints and tolerations."""

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]


def matches_labels(selector: Json | None, labels: Json) -> bool:
    """A LabelSelector. None selects nothing, an empty one everything."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return wanted.items() <= labels.items() and all(
        _requirement(item, labels) for item in selector.get("matchExpressions") or ()
    )


def matches_node(spec: Json, labels: Json, node_name: str) -> bool:
    """The pod's nodeSelector and its required node affinity."""
    if not (spec.get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or matches_node_selector(required, labels, node_name)


def matches_node_selector(selector: Json, labels: Json, node_name: str) -> bool:
    """A NodeSelector: one of its terms must match; a term without requirements matches nothing."""
    return any(_term(term, labels, node_name) for term in selector.get("nodeSelectorTerms") or ())


def untolerated(taints: Iterable[Json], tolerations: Iterable[Json], effects: tuple[str, ...]) -> Json | None:
    """The first taint with one of these effects that no toleration covers."""
    accepted = list(tolerations)
    return next(
        (
            taint
            for taint in taints
            if taint.get("effect") in effects and not any(tolerates(toleration, taint) for toleration in accepted)
        ),
        None,
    )


def tolerates(toleration: Json, taint: Json) -> bool:
    """Whether one toleration covers one taint; empty key, effect and operator have their usual wide meaning."""
    effect, key = toleration.get("effect") or "", toleration.get("key") or ""
    if effect and effect != taint.get("effect"):
        return False
    if key and key != taint.get("key"):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool((toleration.get("value") or "") == (taint.get("value") or "")) and bool(key)


def _term(term: Json, labels: Json, node_name: str) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(_requirement(item, labels) for item in expressions) and all(
        _requirement(item, {"metadata.name": node_name}) for item in fields
    )


def _requirement(requirement: Json, labels: Json) -> bool:
    key, values = str(requirement.get("key") or ""), requirement.get("values") or []
    operator, present = requirement.get("operator"), key in labels
    value = labels.get(key)
    if operator == "In":
        return present and value in values
    if operator == "NotIn":
        return not present or value not in values
    if operator == "Exists":
        return present
    if operator == "DoesNotExist":
        return not present
    if operator in ("Gt", "Lt") and present and len(values) == 1:
        try:
            left, right = int(str(value)), int(values[0])
        except ValueError:
            return False
        return left > right if operator == "Gt" else left < right
    return False
