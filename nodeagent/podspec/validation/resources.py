"""Requests and limits of containers and pods."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from nodeagent.podspec.effective import is_pod_level
from nodeagent.podspec.unchecked_amounts import amounts, container_total
from nodeagent.podspec.validation.rules import NOT_NEGATIVE, problems, unique
from runtimes.kube import names, quantity
from runtimes.kube.field_errors import FieldError, forbidden, invalid, not_found, required
from runtimes.kube.json_object import JsonObject

CONTAINER_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})
_STANDARD = CONTAINER_RESOURCES | {
    *("pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "storage"),
    *("persistentvolumeclaims", "services.nodeports", "services.loadbalancers", "count", "requests.cpu", "limits.cpu"),
    *("requests.memory", "limits.memory", "requests.storage", "requests.ephemeral-storage", "limits.ephemeral-storage"),
}
_HUGEPAGES = "hugepages-"


def container_resources(path: str, resources: JsonObject, claims: frozenset[str]) -> list[FieldError]:
    """`claims`: the names in spec.resourceClaims."""
    errors = _amounts(path, resources, _container_name)
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    asked = {*limits, *requests}
    if any(name.startswith(_HUGEPAGES) for name in asked) and not asked & {"cpu", "memory"}:
        errors.append(forbidden(path, "HugePages require cpu or memory"))
    seen: set[str] = set()
    for index, claim in enumerate(resources.get("claims") or ()):
        where, name = f"{path}.claims[{index}]", claim.get("name") or ""
        errors += unique(where, "/".join(filter(None, (name, claim.get("request")))), seen)
        if not name:
            errors.append(required(f"{where}.name"))
        elif name not in claims:
            errors.append(not_found(f"{where}.name", name))
    return errors


def pod_resources(path: str, spec: JsonObject) -> list[FieldError]:
    """Pod-level requests and limits: they must cover what the containers ask together."""
    resources = spec.get("resources")
    if resources is None:
        return []
    errors = _amounts(path, resources, _pod_name)
    if resources.get("claims"):
        errors.append(forbidden(f"{path}.claims", "claims can not be set for Resources at pod-level"))
    stated = amounts(resources.get("requests"))
    for name, total in container_total(spec, "requests").items():
        if name in stated and total > stated[name]:
            where = f"{path}.requests[{name}]"
            text = f"must be greater than or equal to aggregate container requests of {_show(total)}"
            errors.append(invalid(where, resources["requests"][name], text))
    limits = amounts(resources.get("limits"))
    for index, container in enumerate(spec.get("containers") or ()):
        own = (container.get("resources") or {}).get("limits") or {}
        for name, amount in amounts(own).items():
            if name in limits and amount > limits[name]:
                where = f"spec.containers[{index}].resources.limits[{name}]"
                text = f"must be less than or equal to pod limits of {resources['limits'][name]}"
                errors.append(invalid(where, own[name], text))
    return errors


def overhead(path: str, resources: JsonObject) -> list[FieldError]:
    return _amounts(path.rpartition(".")[0], {path.rpartition(".")[2]: resources}, _container_name)


def is_extended(name: str) -> bool:
    """A resource of some vendor's domain, counted in whole units and never over-committed."""
    domain = name.partition("/")[0]
    return "/" in name and not domain.endswith("kubernetes.io") and not name.startswith("requests.")


def _amounts(path: str, resources: JsonObject, check_name: Callable[[str, str], list[FieldError]]) -> list[FieldError]:
    errors: list[FieldError] = []
    for which, listed in resources.items():
        if which == "claims" or not isinstance(listed, dict):
            continue
        for name, text in listed.items():
            where = f"{path}.{which}[{name}]"
            errors += check_name(where, name)
            errors += amount(where, name, text)
    limits = resources.get("limits") or {}
    for name, text in (resources.get("requests") or {}).items():
        errors += _request_within(path, name, text, limits.get(name))
    return errors


def amount(path: str, name: str, text: Any) -> list[FieldError]:
    """One value of a resource map."""
    try:
        value = quantity.parse(text)
    except (quantity.InvalidQuantity, AttributeError):
        return [invalid(path, text, str(quantity.InvalidQuantity(str(text))))]
    if value < 0:
        return [invalid(path, str(text), NOT_NEGATIVE)]
    if is_extended(name) and value.denominator != 1:
        return [invalid(path, str(text), "must be an integer")]
    if name.startswith(_HUGEPAGES):
        return _page_multiple(path, name, value, text)
    return []


def _page_multiple(path: str, name: str, value: Fraction, text: Any) -> list[FieldError]:
    try:
        page = quantity.parse(name.removeprefix(_HUGEPAGES))
    except quantity.InvalidQuantity:
        return []
    if page > 0 and value % page != 0:
        return [invalid(path, str(text), f"must be a positive integer multiple of {name.removeprefix(_HUGEPAGES)}")]
    return []


def _request_within(path: str, name: str, request: Any, limit: Any) -> list[FieldError]:
    overcommit = not is_extended(name) and not name.startswith(_HUGEPAGES)
    if limit is None:
        text = "Limit must be set for non overcommitable resources"
        return [] if overcommit else [required(f"{path}.limits", text)]
    asked, allowed = amounts({name: request}).get(name), amounts({name: limit}).get(name)
    if asked is None or allowed is None:
        return []
    if not overcommit and asked != allowed:
        return [invalid(f"{path}.requests", str(request), f"must be equal to {name} limit of {limit}")]
    if overcommit and asked > allowed:
        return [invalid(f"{path}.requests", str(request), f"must be less than or equal to {name} limit of {limit}")]
    return []


def _container_name(path: str, name: str) -> list[FieldError]:
    errors = problems(path, name, names.qualified_name(name))
    if "/" in name:
        if not name.partition("/")[0].endswith("kubernetes.io") and not is_extended(name):
            errors.append(invalid(path, name, "doesn't follow extended resource name standard"))
        return errors
    if name not in _STANDARD and not name.startswith(_HUGEPAGES):
        errors.append(invalid(path, name, "must be a standard resource type or fully qualified"))
    if name not in CONTAINER_RESOURCES and not name.startswith(_HUGEPAGES):
        errors.append(invalid(path, name, "must be a standard resource for containers"))
    return errors


def _pod_name(path: str, name: str) -> list[FieldError]:
    if is_pod_level(name):
        return []
    return [invalid(path, name, "must be a supported resource for pods: cpu, memory, hugepages-*")]


def _show(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{int(value * 1000)}m"
