"""LabelSelectors, as claims have them: matchLabels and matchExpressions."""

from collections.abc import Mapping

from runtimes.kube.json_object import JsonObject
from runtimes.kube.selectors import holds


def matches_labels(selector: JsonObject | None, labels: Mapping[str, str]) -> bool:
    """Whether all that the selector says holds. None selects nothing, an empty one everything."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return wanted.items() <= labels.items() and all(
        holds(item.get("operator") or "", item.get("values") or (), labels.get(item.get("key") or ""))
        for item in selector.get("matchExpressions") or ()
    )
