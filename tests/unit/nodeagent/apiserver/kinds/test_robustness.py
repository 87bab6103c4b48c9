"""Whatever a well-typed body says, a hook answers with an object, causes, or an ApiError: never with a crash."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typed_values import values

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import hooks_for
from nodeagent.apitypes.encode import read
from nodeagent.apitypes.schema import struct_for
from runtimes.kube.field_errors import FieldError

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
    "volumeattributesclasses.storage.k8s.io": ("storage.k8s.io/v1", "VolumeAttributesClass"),
    "leases.coordination.k8s.io": ("coordination.k8s.io/v1", "Lease"),
    "runtimeclasses.node.k8s.io": ("node.k8s.io/v1", "RuntimeClass"),
    "priorityclasses.scheduling.k8s.io": ("scheduling.k8s.io/v1", "PriorityClass"),
    "endpointslices.discovery.k8s.io": ("discovery.k8s.io/v1", "EndpointSlice"),
    "certificatesigningrequests.certificates.k8s.io": ("certificates.k8s.io/v1", "CertificateSigningRequest"),
}


@pytest.mark.parametrize("resource", KINDS)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_hooks_do_not_crash(resource: str, cluster: Any, data: Any) -> None:
    """Creating a random object, and updating it into another, is answered properly by every kind."""
    kind: Any = struct_for(*KINDS[resource])
    hooks = hooks_for(resource)
    namespace = "default" if resource in ("pods", "secrets", "services", "events") else ""
    stored = None
    for _ in range(2):
        body = read(kind, data.draw(values(kind))).value
        body["metadata"] = {"name": "x", "namespace": namespace}
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
