"""Kinds of dynamic resource allocation: what may be written, and what is made of it."""

from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import hooks_for

CLAIM = hooks_for("resourceclaims.resource.k8s.io")
SLICE = hooks_for("resourceslices.resource.k8s.io")
GOOD = {"deviceClassName": "gpu"}


def claim(**exactly: Any) -> dict[str, Any]:
    return of_devices(requests=[{"name": "r", "exactly": {**GOOD, **exactly}}])


def of_devices(**devices: Any) -> dict[str, Any]:
    found = {"metadata": {"name": "x", "namespace": "ns"}, "spec": {"devices": devices}}
    CLAIM.defaults(found)
    return found


def texts(errors: Any) -> list[str]:
    return [str(error) for error in errors]


def test_defaults() -> None:
    """One device, exactly."""
    assert claim()["spec"]["devices"]["requests"][0]["exactly"] == {**GOOD, "allocationMode": "ExactCount", "count": 1}
    assert CLAIM.validate_create(claim()) == []


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (claim(deviceClassName=""), "exactly.deviceClassName: Required value"),
        (claim(count=-1), "exactly.count: Invalid value: -1: must be greater than zero"),
        (claim(allocationMode="All", count=2), 'must not be specified when allocationMode is "All"'),
        (claim(allocationMode="Some"), 'Unsupported value: "Some"'),
        (claim(selectors=[{"cel": {"expression": "device.driver =="}}]), "compilation failed"),
        (of_devices(requests=[{"name": "r"}]), "exactly one of `exactly` or `firstAvailable` is required"),
        (
            of_devices(requests=[{"name": "r", "exactly": GOOD}, {"name": "r", "exactly": GOOD}]),
            'spec.devices.requests[1].name: Duplicate value: "r"',
        ),
        (of_devices(constraints=[{"matchAttribute": "numa"}]), "must include a domain"),
        (of_devices(constraints=[{"requests": ["q"], "matchAttribute": "a/b"}]), "must be the name of a request"),
    ],
)
def test_claims_that_are_refused(wrong: Any, text: str) -> None:
    """Each says where and why."""
    assert text in " ".join(texts(CLAIM.validate_create(wrong)))


def test_a_status_may_not_change_what_was_given() -> None:
    """Devices are taken back before others are given; nobody is noted for a claim that has none."""
    old = {**claim(), "status": {"allocation": {"devices": {"results": [1]}}}}
    other = {**claim(), "status": {"allocation": {"devices": {"results": [2]}}}}
    assert "field is immutable" in " ".join(texts(CLAIM.validate_update(other, old, "status")))
    consumer = {"resource": "pods", "name": "p", "uid": "u"}
    assert CLAIM.validate_update({**old, "status": {**old["status"], "reservedFor": [consumer]}}, old, "status") == []
    without = {**claim(), "status": {"reservedFor": [consumer]}}
    assert "status.reservedFor: Forbidden" in " ".join(texts(CLAIM.validate_update(without, old, "status")))


def test_admin_access_is_for_namespaces_that_are_labelled(cluster: Any) -> None:
    """A user of any other may not look into everybody's devices."""
    cluster.put("namespaces", {"metadata": {"name": "ns", "labels": {}}})
    wanted = claim(adminAccess=True)
    with pytest.raises(ApiError, match="admin access to devices requires"):
        CLAIM.prepare_create(wanted, cluster.context("resourceclaims.resource.k8s.io", "ns", "x"))
    labels = {"resource.kubernetes.io/admin-access": "true"}
    cluster.put("namespaces", {"metadata": {"name": "ns", "labels": labels}})
    CLAIM.prepare_create(wanted, cluster.context("resourceclaims.resource.k8s.io", "ns", "x"))


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({}, "exactly one of `nodeName`"),
        ({"nodeName": "n", "allNodes": True}, "exactly one of `nodeName`"),
        ({"nodeName": "n", "devices": [{"name": "A"}]}, "spec.devices[0].name: Invalid value"),
        ({"nodeName": "n", "devices": [{"name": "a", "attributes": {"x": {}}}]}, "exactly one value must be specified"),
        ({"nodeName": "n", "driver": "Not_A_Driver"}, "spec.driver: Invalid value"),
        ({"nodeName": "n", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 0}}, "greater than zero"),
    ],
)
def test_slices_that_are_refused(spec: Any, text: str) -> None:
    """Of no node or of too many, with devices that cannot be named or read."""
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    whole = {"metadata": {"name": "s"}, "spec": {"driver": "x.org", "pool": pool, **spec}}
    assert text in " ".join(texts(SLICE.validate_create(whole)))
