"""Amounts of a pod in its JSON form, as defaults and validation need them: before the quantities are validated."""

from collections.abc import Mapping
from typing import Any

from nodeagent.podspec.container_lists import is_sidecar
from nodeagent.podspec.effective import Amounts, Side, together
from runtimes.kube import quantity
from runtimes.kube.json_object import JsonObject


def amounts(resources: Mapping[str, Any] | None) -> Amounts:
    """A resource map without what is no quantity: of that validation says so itself."""
    found: Amounts = {}
    for name, text in (resources or {}).items():
        try:
            found[name] = quantity.parse(text)
        except (quantity.InvalidQuantity, AttributeError):
            continue
    return found


def container_total(spec: JsonObject, side: Side) -> Amounts:
    """What the containers ask for together, without what the pod says as a whole."""
    return together(
        (_of(item, side) for item in spec.get("containers") or ()),
        ((_of(item, side), is_sidecar(item)) for item in spec.get("initContainers") or ()),
    )


def _of(container: JsonObject, side: Side) -> Amounts:
    return amounts((container.get("resources") or {}).get(side))
