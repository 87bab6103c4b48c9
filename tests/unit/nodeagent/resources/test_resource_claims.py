"""Which claims a pod is to have, and what is said of those it cannot have (docs/facts/node-resources.md 12.3)."""

from typing import Any, cast

import msgspec
import pytest
from lightkube.models.resource_v1 import ResourceClaim

from nodeagent.api import errors
from nodeagent.pods.resource_claims import NotPrepared, ResourceClaims, wanted

RESERVED = [{"resource": "pods", "name": "web", "uid": "uid-1"}]
DRIVER = {"driver": "gpu.example.com", "device": "d", "pool": "p", "request": "r"}
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid-1", "controller": True}


def claim(
    *, owners: list[Any] | None = None, reserved: list[Any] | None = None, results: list[Any] | None = None
) -> Any:
    status: dict[str, Any] = {"reservedFor": reserved}
    if results is not None:
        status["allocation"] = {"devices": {"results": results}}
    metadata = {"name": "c", "namespace": "ns", "uid": "claim-uid", "ownerReferences": owners}
    return msgspec.convert({"metadata": metadata, "spec": {}, "status": status}, ResourceClaim)


class Api:
    """Has one claim, or an error."""

    def __init__(self, found: Any) -> None:
        self.found = found
        self.asked: list[tuple[str, str]] = []

    async def get(self, kind: type[ResourceClaim], name: str, namespace: str) -> ResourceClaim:
        assert kind is ResourceClaim
        self.asked.append((namespace, name))
        if isinstance(self.found, Exception):
            raise self.found
        return cast(ResourceClaim, self.found)


DIRECT, TEMPLATE = {"name": "gpu", "resourceClaimName": "c"}, {"name": "gpu", "resourceClaimTemplateName": "t"}
GENERATED = {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "c"}]}


@pytest.mark.parametrize(
    ("entry", "status", "found", "text"),
    [
        (DIRECT, {}, errors.not_found("resourceclaims", "c"), 'fetch ResourceClaim c: resourceclaims "c" not found'),
        (DIRECT, {}, claim(), "pod web (uid-1) is not allowed to use ResourceClaim c (claim-uid)"),
        (
            DIRECT,
            {},
            claim(reserved=[{**RESERVED[0], "uid": "other"}]),
            "pod web (uid-1) is not allowed to use ResourceClaim c (claim-uid)",
        ),
        (DIRECT, {}, claim(reserved=RESERVED), "ResourceClaim c: not allocated"),
        (DIRECT, {}, claim(reserved=RESERVED, results=[DRIVER]), "DRA driver gpu.example.com is not registered"),
        (TEMPLATE, {}, claim(), 'pod "ns/web": ResourceClaim not created yet'),
        (
            TEMPLATE,
            {"resourceClaimStatuses": [{"name": "other"}]},
            claim(),
            'pod "ns/web": ResourceClaim not created yet',
        ),
        (
            TEMPLATE,
            GENERATED,
            claim(reserved=RESERVED, results=[DRIVER]),
            "ResourceClaim ns/c was not created for pod ns/web (pod is not owner)",
        ),
        (
            TEMPLATE,
            GENERATED,
            claim(owners=[OWNER], reserved=RESERVED, results=[DRIVER]),
            "DRA driver gpu.example.com is not registered",
        ),
        (
            {"name": "gpu"},
            {},
            claim(),
            'pod "ns/web", spec.resourceClaims "gpu": none of the supported fields are set',
        ),
        (
            None,
            {"extendedResourceClaimStatus": {"resourceClaimName": "c", "requestMappings": []}},
            claim(reserved=RESERVED, results=[DRIVER]),
            "DRA driver gpu.example.com is not registered",
        ),
    ],
)
async def test_what_keeps_a_pod_waiting(kit: Any, entry: Any, status: Any, found: Any, text: str) -> None:
    """Each reason in upstream's words, in the order in which upstream finds it."""
    pod = kit.pod(resourceClaims=[entry] if entry else [], status=status)
    with pytest.raises(NotPrepared) as caught:
        await ResourceClaims(Api(found)).prepare(pod)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("entries", "status", "found"),
    [
        ([], {}, claim()),
        ([TEMPLATE], {"resourceClaimStatuses": [{"name": "gpu"}]}, claim()),
        ([DIRECT], {}, claim(reserved=RESERVED, results=[])),
    ],
    ids=["none", "the template needed none", "nothing is allocated by a driver"],
)
async def test_pods_that_wait_for_nothing(kit: Any, entries: Any, status: Any, found: Any) -> None:
    """No claims; a status that says that none was generated; a claim that no driver has a part in."""
    await ResourceClaims(Api(found)).prepare(kit.pod(resourceClaims=entries, status=status))


async def test_claims_are_read_in_the_pods_namespace_each_time(kit: Any) -> None:
    """What changes about a claim is seen at the next try."""
    api = Api(claim(reserved=RESERVED))
    pod = kit.pod(resourceClaims=[DIRECT])
    for _ in range(2):
        with pytest.raises(NotPrepared):
            await ResourceClaims(api).prepare(pod)
    assert api.asked == [("ns", "c")] * 2
    assert list(wanted(pod)) == [("c", False)]


async def test_a_node_without_an_api(kit: Any) -> None:
    """Nothing can be known of a claim there."""
    with pytest.raises(NotPrepared, match="fetch ResourceClaim c: this node has no API server"):
        await ResourceClaims(None).prepare(kit.pod(resourceClaims=[DIRECT]))
