"""The downward API: fields of a pod and resources of its containers as text, for volumes and for environment variables."""

import json
import math
import re
from collections.abc import Mapping

from lightkube.models.core_v1 import (
    Container,
    ObjectFieldSelector,
    PodSpec,
    ResourceFieldSelector,
    ResourceRequirements,
)
from lightkube.models.meta_v1 import ObjectMeta

from runtimes.kube import quantity
from runtimes.kube.go_quote import go_quote

# Limits that a container without one has nevertheless: it may use what the node has.
_NODE_LIMITED = ("cpu", "memory", "ephemeral-storage")
_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.+)'\]")


class UnsupportedField(ValueError):
    """The reference names nothing that a pod has. The text is for the pod's owner."""


def format_map(values: Mapping[str, str]) -> str:
    """Labels or annotations as sorted lines `key="value"`, the value escaped as a Go string."""
    return "\n".join(f"{key}={go_quote(value)}" for key, value in sorted(values.items()))


def metadata_field(metadata: ObjectMeta, path: str) -> str | None:
    """A field of the pod's metadata; None when `path` is not one of them. A label that is not there is empty."""
    match path:
        case "metadata.name":
            return metadata.name or ""
        case "metadata.namespace":
            return metadata.namespace or ""
        case "metadata.uid":
            return metadata.uid or ""
        case "metadata.labels":
            return format_map(metadata.labels or {})
        case "metadata.annotations":
            return format_map(metadata.annotations or {})
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript is None:
        return None
    values = (metadata.labels if subscript[1] == "metadata.labels" else metadata.annotations) or {}
    text: str = values.get(subscript[2], "")
    return text


def volume_field(metadata: ObjectMeta, selector: ObjectFieldSelector) -> str:
    """A fieldRef in a volume: metadata only. Raises UnsupportedField."""
    check_api_version(selector)
    text = metadata_field(metadata, selector.fieldPath)
    if text is None:
        raise UnsupportedField(f"unsupported fieldPath: {selector.fieldPath}")
    return text


def check_api_version(selector: ObjectFieldSelector) -> None:
    """Raises UnsupportedField."""
    if (selector.apiVersion or "v1") != "v1":
        raise UnsupportedField(f"unsupported pod version: {selector.apiVersion}")


def find_container(spec: PodSpec, name: str) -> tuple[Container, bool] | None:
    """A regular or init container by name, and whether it is an init container."""
    for container in spec.containers:
        if container.name == name:
            return container, False
    for container in spec.initContainers or ():
        if container.name == name:
            return container, True
    return None


def pod_limits(spec: PodSpec) -> Mapping[str, str]:
    """The limits that the pod as a whole declares, if it does."""
    return (spec.resources.limits if spec.resources is not None else None) or {}


def resource_value(
    resources: ResourceRequirements | None,
    selector: ResourceFieldSelector,
    *,
    pod_limits: Mapping[str, str],
    allocatable: Mapping[str, str],
) -> str:
    """A resourceFieldRef: ceil(quantity / divisor).

    A missing cpu, memory or ephemeral-storage limit is the pod-level one, else the node's allocatable; anything else that
    is missing is 0. Raises UnsupportedField for an unknown resource or a bad divisor.
    """
    section, _, resource = selector.resource.partition(".")
    known = resource in _NODE_LIMITED or resource.startswith("hugepages-")
    if section not in ("limits", "requests") or not known:
        raise UnsupportedField(f"unsupported container resource : {selector.resource}")
    values = getattr(resources, section, None) or {}
    text = values.get(resource)
    if section == "limits" and resource in _NODE_LIMITED and (text is None or quantity.parse(text) == 0):
        text = pod_limits.get(resource) or allocatable.get(resource)
    return str(_divide(resource, text or "0", selector.divisor))


def _divide(resource: str, text: str, divisor_text: str | None) -> int:
    try:
        divisor = quantity.parse(divisor_text or "1") or quantity.parse("1")
        amount = quantity.parse(text)
    except quantity.InvalidQuantity as error:
        raise UnsupportedField(f"invalid quantity {json.dumps(error.text)}: {error}") from error
    if resource == "cpu":  # both in whole millicores first, as the API defines it
        return math.ceil(math.ceil(amount * 1000) / math.ceil(divisor * 1000))
    return math.ceil(math.ceil(amount) / max(1, math.ceil(divisor)))
