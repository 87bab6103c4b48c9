"""Whatever a well-typed body says, a hook answers with an object, causes, or an ApiError: never with a crash."""

import copy
import types
import typing
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.apiserver.errors import ApiError, FieldError
from nodeagent.apiserver.kinds import hooks_for
from nodeagent.apiserver.kinds.fields import _QUANTITY_MAPS, inspect, model_for

KINDS = {
    "pods": ("v1", "Pod"),
    "nodes": ("v1", "Node"),
    "namespaces": ("v1", "Namespace"),
    "secrets": ("v1", "Secret"),
    "configmaps": ("v1", "ConfigMap"),
    "services": ("v1", "Service"),
    "endpoints": ("v1", "Endpoints"),
    "events": ("v1", "Event"),
    "persistentvolumes": ("v1", "PersistentVolume"),
    "persistentvolumeclaims": ("v1", "PersistentVolumeClaim"),
    "storageclasses.storage.k8s.io": ("storage.k8s.io/v1", "StorageClass"),
    "csidrivers.storage.k8s.io": ("storage.k8s.io/v1", "CSIDriver"),
    "csinodes.storage.k8s.io": ("storage.k8s.io/v1", "CSINode"),
    "volumeattachments.storage.k8s.io": ("storage.k8s.io/v1", "VolumeAttachment"),
    "leases.coordination.k8s.io": ("coordination.k8s.io/v1", "Lease"),
    "runtimeclasses.node.k8s.io": ("node.k8s.io/v1", "RuntimeClass"),
    "priorityclasses.scheduling.k8s.io": ("scheduling.k8s.io/v1", "PriorityClass"),
    "endpointslices.discovery.k8s.io": ("discovery.k8s.io/v1", "EndpointSlice"),
    "certificatesigningrequests.certificates.k8s.io": ("certificates.k8s.io/v1", "CertificateSigningRequest"),
}
TEXTS = st.sampled_from(
    ["", "a", "a", "b", "A/../b", "Always", "None", "TCP", "Exists", "1Gi", "metadata.name", "10.0.0.1", "x" * 300]
)
NUMBERS = st.sampled_from([-1, 0, 1, 80, 70000, 2**31 - 1])
QUANTITIES = st.sampled_from(["1", "-1", "1.5", "100m", "1Gi", 2, 0.5])
MAPS = st.dictionaries(
    st.sampled_from(["cpu", "memory", "a", "x.io/a", "hugepages-2Mi", "storage"]), QUANTITIES, max_size=2
)
TEXT_MAPS = st.dictionaries(st.sampled_from(["a", "x.io/a", "-"]), st.sampled_from(["", "YQ==", "-"]), max_size=2)
QUANTITY_FIELDS = {"sizeLimit", "divisor", "quantity", "perContainer", "perPod"}
CHANCES = (9, 9, 5, 3, 2, 2, 0)
"""Out of ten, how often a field is there, by depth."""


@st.composite
def values(draw: Any, name: str, kind: Any, depth: int) -> Any:
    """A random value of a model's field type; deeper structures are sparser."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        choices = [item for item in typing.get_args(kind) if item is not type(None)]
        return draw(values(name, draw(st.sampled_from(choices)), depth))
    if typing.get_origin(kind) is list:
        return [draw(values(name, typing.get_args(kind)[0], depth)) for _ in range(draw(st.integers(0, 2)))]
    if kind is dict or typing.get_origin(kind) is dict:
        return draw(MAPS if name in _QUANTITY_MAPS else TEXT_MAPS)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return draw(structs(kind, depth + 1))
    if kind is bool:
        return draw(st.booleans())
    if kind is int:
        return draw(NUMBERS)
    if kind is datetime:
        return "2026-01-02T03:04:05Z"
    return draw(QUANTITIES if name in QUANTITY_FIELDS else TEXTS)


@st.composite
def structs(draw: Any, model: Any, depth: int = 0) -> Any:
    chance = CHANCES[min(depth, len(CHANCES) - 1)]
    there = [item for item in msgspec.structs.fields(model) if draw(st.integers(0, 9)) < chance]
    return {item.encode_name: draw(values(item.encode_name, item.type, depth)) for item in there}


@pytest.mark.parametrize("resource", KINDS)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_hooks_do_not_crash(resource: str, cluster: Any, data: Any) -> None:
    """Creating a random object, and updating it into another, is answered properly by every kind."""
    model: Any = model_for(*KINDS[resource])
    hooks = hooks_for(resource)
    namespace = "default" if resource in ("pods", "secrets", "services", "events") else ""
    stored = None
    for _ in range(2):
        body = data.draw(structs(model))
        body["metadata"] = {"name": "x", "namespace": namespace}
        if inspect(body, model).error is not None:
            continue
        try:
            hooks.prepare_create(body, cluster.context(resource, namespace, "x"))
            causes = hooks.validate_create(body)
        except ApiError:
            continue
        assert all(isinstance(cause, FieldError) and str(cause) for cause in causes)
        for subresource in (None, "status", "resize", "ephemeralcontainers") if stored else ():
            new = copy.deepcopy(body)
            try:
                hooks.prepare_update(new, stored, cluster.context(resource, namespace, "x"), subresource)
                hooks.validate_update(new, stored, subresource)
            except ApiError:
                continue
        stored = body
