"""Which of the cluster's trust anchors a volume selects, and how they are followed."""

import asyncio
from typing import Any

import msgspec
import pytest
from lightkube.models.certificates_v1 import ClusterTrustBundle
from lightkube.models.core_v1 import ClusterTrustBundleProjection

from nodeagent.api import errors
from nodeagent.api.trust_bundles import NoTrustBundles, WatchedTrustBundles, selects


def bundle(name: str, signer: str = "", **labels: str) -> dict[str, Any]:
    spec = {"trustBundle": f"pem of {name}"} | ({"signerName": signer} if signer else {})
    return {"metadata": {"name": name, "resourceVersion": "1", "labels": labels}, "spec": spec}


def projection(**fields: Any) -> ClusterTrustBundleProjection:
    return msgspec.convert({"path": "ca", **fields}, ClusterTrustBundleProjection)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"name": "plain"}, ["plain"]),
        ({"name": "a:s:1"}, ["a:s:1"]),
        ({"name": "none"}, []),
        ({"signerName": "a/s"}, []),
        ({"signerName": "a/s", "labelSelector": {}}, ["a:s:1", "a:s:2"]),
        ({"signerName": "a/s", "labelSelector": {"matchLabels": {"live": "yes"}}}, ["a:s:2"]),
        (
            {
                "signerName": "a/s",
                "labelSelector": {"matchExpressions": [{"key": "live", "operator": "DoesNotExist"}]},
            },
            ["a:s:1"],
        ),
        ({"signerName": "", "labelSelector": {}}, []),
        ({}, []),
    ],
)
def test_what_is_selected(wanted: dict[str, Any], expected: list[str]) -> None:
    """One by its name, or a signer's by labels: without a selector none, with an empty one all."""
    there = [bundle("plain"), bundle("a:s:1", "a/s"), bundle("a:s:2", "a/s", live="yes"), bundle("b:s:1", "b/s")]
    found = [msgspec.convert(each, ClusterTrustBundle) for each in there]
    asked = projection(**wanted)
    assert [each.metadata.name for each in found if each.metadata and selects(asked, each)] == expected


async def test_they_are_watched_from_the_first_pod_on(make: Any, script: Any, client: Any) -> None:
    """In the version that the API has; a change is told to the pods that have some, not to those that are gone."""
    changed: asyncio.Queue[str] = asyncio.Queue()
    script.answer(make.failure(404, "NotFound"), 404)
    script.answer({"resources": [{"name": "clustertrustbundles"}]})
    first, second = bundle("a"), {**bundle("a"), "spec": {"trustBundle": "new"}}
    second["metadata"] = {**second["metadata"], "resourceVersion": "6"}
    kind = {"apiVersion": "certificates.k8s.io/v1beta1", "kind": "ClusterTrustBundle"}
    script.watch(make.failure(400, "BadRequest"), status=400)  # it has no streaming lists
    script.answer({"kind": "ClusterTrustBundleList", "metadata": {"resourceVersion": "5"}, "items": [first]})
    script.watch({"type": "MODIFIED", "object": {**kind, **second}}, end="stay")
    bundles = WatchedTrustBundles(client, changed.put_nowait)
    try:
        assert await bundles.select("gone", projection(name="a")) == ["pem of a"]
        bundles.forget("gone")
        assert await bundles.select("one", projection(name="a")) == ["pem of a"]
        assert await changed.get() == "one"
        assert await bundles.select("two", projection(name="a")) == ["new"]
        with pytest.raises(errors.NotFound, match='clustertrustbundles "b" not found'):
            await bundles.select("two", projection(name="b"))
    finally:
        await bundles.close()


async def test_without_an_api_there_are_none() -> None:
    """A static pod's volume says so."""
    with pytest.raises(errors.Unavailable, match="not supported in static kubelet mode"):
        await NoTrustBundles().select("u", projection(name="a"))
