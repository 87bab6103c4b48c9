"""Fields that a write to a resource or subresource does not take: nobody owns them by such a write."""

from collections.abc import Mapping
from typing import Any

from nodeagent.apiserver.apply import sets
from nodeagent.apiserver.apply.comparing import Filter
from nodeagent.apiserver.apply.sets import Fields
from nodeagent.apiserver.registry.resource import Resource

_STATUS = ("f:status",)
_SPEC = ("f:spec",)
_CSR = "certificatesigningrequests.certificates.k8s.io"

_RESET: Mapping[tuple[str, str], Fields] = {
    ("pods", "status"): sets.of_paths(
        _SPEC, ("f:metadata", "f:deletionTimestamp"), ("f:metadata", "f:ownerReferences")
    ),
    ("volumeattachments.storage.k8s.io", "status"): sets.of_paths(_SPEC, ("f:metadata",)),
    (_CSR, ""): sets.of_paths(_SPEC, _STATUS),
    (_CSR, "status"): sets.of_paths(_SPEC, ("f:status", "f:conditions")),
    (_CSR, "approval"): sets.of_paths(_SPEC, ("f:status", "f:certificate")),
    ("namespaces", "finalize"): sets.of_paths(_STATUS),
}
_RESIZED: Mapping[str, Any] = {"*": {"f:resources": {}, "f:resizePolicy": {}}}
_TAKEN: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("pods", "ephemeralcontainers"): {"f:spec": {"f:ephemeralContainers": {}}},
    ("pods", "resize"): {"f:spec": {"f:containers": _RESIZED, "f:initContainers": _RESIZED}},
}


def filter_of(resource: Resource, subresource: str) -> Filter:
    """What is left of a set when the fields are out that a write there does not take."""
    taken = _TAKEN.get((resource.storage, subresource))
    if taken is not None:
        return lambda fields: sets.only(fields, taken)
    reset = _RESET.get((resource.storage, subresource))
    if reset is None and subresource == "status":
        reset = sets.of_paths(_SPEC)
    if reset is None and resource.has_status:
        reset = sets.of_paths(_STATUS)
    return _whole if reset is None else lambda fields: sets.without(fields, reset)


def _whole(fields: Fields) -> Fields:
    return fields
