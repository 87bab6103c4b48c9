"""Which claims a pod is to have, and what is said of those it cannot have (docs/facts/node-resources.md 12.3)."""

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import Container
from lightkube.models.resource_v1 import ResourceClaim

from nodeagent.resources.dra.pod_claims import NotPrepared, drivers_of, used_by, wanted

RESERVED = [{"resource": "pods", "name": "web", "uid": "u1"}]
DRIVER = {"driver": "gpu.example.com", "device": "d", "pool": "p", "request": "r"}
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u1", "controller": True}
DIRECT, TEMPLATE = {"name": "gpu", "resourceClaimName": "c"}, {"name": "gpu", "resourceClaimTemplateName": "t"}
GENERATED = {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "c"}]}
EXTENDED = {
    "extendedResourceClaimStatus": {
        "resourceClaimName": "e",
        "requestMappings": [{"containerName": "c", "requestName": "r0", "resourceName": "x.org/gpu"}],
    }
}


def claim(*, owners: Any = None, reserved: Any = None, results: Any = None) -> ResourceClaim:
    status: dict[str, Any] = {"reservedFor": reserved}
    if results is not None:
        status["allocation"] = {"devices": {"results": results}}
    metadata = {"name": "c", "namespace": "ns", "uid": "claim-uid", "ownerReferences": owners}
    return msgspec.convert({"metadata": metadata, "spec": {}, "status": status}, ResourceClaim)


@pytest.mark.parametrize(
    ("entries", "status", "found"),
    [
        ([], {}, []),
        ([DIRECT], {}, [("c", False)]),
        ([TEMPLATE], GENERATED, [("c", True)]),
        ([TEMPLATE], {"resourceClaimStatuses": [{"name": "gpu"}]}, []),  # none was needed
        ([DIRECT], EXTENDED, [("c", False), ("e", False)]),
        ([TEMPLATE], {}, 'pod "ns/web": ResourceClaim not created yet'),
        ([{"name": "gpu"}], {}, 'pod "ns/web", spec.resourceClaims "gpu": none of the supported fields are set'),
    ],
)
def test_wanted(pod_with: Any, entries: Any, status: Any, found: Any) -> None:
    """By name, of a template, for extended resources; or why it cannot be known."""
    pod = pod_with(status=status, resourceClaims=entries)
    if isinstance(found, str):
        with pytest.raises(NotPrepared) as caught:
            list(wanted(pod))
        assert str(caught.value) == found
    else:
        assert list(wanted(pod)) == found


@pytest.mark.parametrize(
    ("given", "generated", "found"),
    [
        (claim(), False, "pod web (u1) is not allowed to use ResourceClaim c (claim-uid)"),
        (
            claim(reserved=[{**RESERVED[0], "uid": "other"}]),
            False,
            "pod web (u1) is not allowed to use ResourceClaim c (claim-uid)",
        ),
        (
            claim(reserved=RESERVED, results=[DRIVER]),
            True,
            "ResourceClaim ns/c was not created for pod ns/web (pod is not owner)",
        ),
        (claim(reserved=RESERVED), False, "ResourceClaim c: not allocated"),
        (claim(owners=[OWNER], reserved=RESERVED, results=[DRIVER, DRIVER]), True, ("gpu.example.com",)),
        (claim(reserved=RESERVED, results=[]), False, ()),
    ],
)
def test_who_prepares_a_claim(pod_with: Any, given: ResourceClaim, generated: bool, found: Any) -> None:
    """Each driver once; or why the pod may not have it, in upstream's words and order."""
    if isinstance(found, str):
        with pytest.raises(NotPrepared) as caught:
            drivers_of(pod_with(), given, generated=generated)
        assert str(caught.value) == found
    else:
        assert drivers_of(pod_with(), given, generated=generated) == found


def test_what_a_container_uses(pod_with: Any) -> None:
    """A claim, one request of it, an extended resource that it asks for; each as its status calls it."""
    body = {
        "name": "c",
        "resources": {"claims": [{"name": "gpu"}, {"name": "gpu", "request": "r"}, {"name": "unmade"}]},
    }
    pod = pod_with(status={**GENERATED, **EXTENDED}, resourceClaims=[TEMPLATE])
    assert list(used_by(pod, msgspec.convert(body, Container))) == [
        ("c", "", "claim:gpu"),
        ("c", "r", "claim:gpu/r"),
    ]
    body["resources"] = {"requests": {"x.org/gpu": "1"}}
    assert list(used_by(pod, msgspec.convert(body, Container))) == [("e", "r0", "x.org/gpu")]
