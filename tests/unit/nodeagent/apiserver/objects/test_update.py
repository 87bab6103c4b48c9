"""Replacing and patching objects."""

import json
from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError

Cluster = Any
Pod = dict[str, Any]
STALE = "the object has been modified; please apply your changes to the latest version and try again"


async def refused(coroutine: Any) -> tuple[int, str, str]:
    with pytest.raises(ApiError) as caught:
        await coroutine
    return caught.value.code, caught.value.reason, caught.value.message


async def test_optimistic_concurrency(cluster: Cluster) -> None:
    """A stated resourceVersion must be the current one; without one the last writer wins."""
    first = await cluster.create("configmaps", {"metadata": {"name": "x"}, "data": {"a": "1"}})
    second = await cluster.update("configmaps", {**first, "data": {"a": "2"}})
    assert await refused(cluster.update("configmaps", {**first, "data": {"a": "3"}})) == (
        409,
        "Conflict",
        f'Operation cannot be fulfilled on configmaps "x": {STALE}',
    )
    del second["metadata"]["resourceVersion"]
    third = await cluster.update("configmaps", {**second, "data": {"a": "4"}})
    assert third["data"] == {"a": "4"}


async def test_no_change_no_event(cluster: Cluster) -> None:
    """An update that changes nothing keeps the resourceVersion."""
    created = await cluster.create("configmaps", {"metadata": {"name": "x"}, "data": {"a": "1"}})
    before = cluster.store.revision
    assert await cluster.update("configmaps", created) == created
    assert await cluster.patch("configmaps", "x", {"data": {"a": "1"}}) == created
    assert cluster.store.revision == before


async def test_server_owned_metadata_is_restored(cluster: Cluster) -> None:
    """Times and generation cannot be written; another uid is refused."""
    created = await cluster.create("configmaps", {"metadata": {"name": "x"}})
    changed = json.loads(json.dumps(created))
    changed["metadata"] |= {"creationTimestamp": "2000-01-01T00:00:00Z", "generation": 9, "labels": {"a": "b"}}
    updated = await cluster.update("configmaps", changed)
    assert updated["metadata"]["creationTimestamp"] == created["metadata"]["creationTimestamp"]
    assert "generation" not in updated["metadata"]
    changed["metadata"] |= {"uid": "other", "resourceVersion": ""}
    precondition = f"UID in precondition: other, UID in object meta: {created['metadata']['uid']}"
    assert await refused(cluster.update("configmaps", changed)) == (
        409,
        "Conflict",
        f'Operation cannot be fulfilled on configmaps "x": Precondition failed: {precondition}',
    )


async def test_missing(cluster: Cluster) -> None:
    """An update of what is not there is 404, but for the kinds that are made by it."""
    assert await refused(cluster.update("configmaps", {"metadata": {"name": "x", "namespace": "default"}})) == (
        404,
        "NotFound",
        'configmaps "x" not found',
    )
    lease = {"metadata": {"name": "l", "namespace": "default"}, "spec": {"holderIdentity": "me"}}
    await cluster.update("leases.coordination.k8s.io", lease)
    assert cluster.get("leases.coordination.k8s.io", "l")["spec"] == {"holderIdentity": "me"}


async def test_name_must_match(cluster: Cluster) -> None:
    """The object's name is the path's."""
    await cluster.create("configmaps", {"metadata": {"name": "x"}})
    patched = cluster.patch("configmaps", "x", {"metadata": {"name": "y"}})
    assert await refused(patched) == (
        400,
        "BadRequest",
        "the name of the object (y) does not match the name on the URL (x)",
    )


async def test_status_and_spec_are_apart(cluster: Cluster, pod: Pod) -> None:
    """The main resource does not touch the status; the status subresource touches the status, labels and annotations."""
    await cluster.create("pods", pod)
    change = {
        "metadata": {
            "annotations": {"a": "b"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}],
        },
        "spec": {"activeDeadlineSeconds": 5},
        "status": {"phase": "Running"},
    }
    after = await cluster.patch("pods", "p", change, subresource="status")
    assert (after["status"]["phase"], after["metadata"]["annotations"], after["metadata"]["generation"]) == (
        "Running",
        {"a": "b"},
        1,
    )
    assert ("activeDeadlineSeconds" in after["spec"], "ownerReferences" in after["metadata"]) == (False, False)
    after = await cluster.patch("pods", "p", {"spec": {"activeDeadlineSeconds": 5}, "status": {"phase": "Failed"}})
    assert (after["status"]["phase"], after["spec"]["activeDeadlineSeconds"], after["metadata"]["generation"]) == (
        "Running",
        5,
        2,
    )


async def test_resource_version_in_a_patch_is_a_precondition(cluster: Cluster) -> None:
    """A patch that names another resourceVersion is a conflict."""
    await cluster.create("configmaps", {"metadata": {"name": "x"}})
    patch = {"metadata": {"resourceVersion": "1"}, "data": {"a": "b"}}
    assert (await refused(cluster.patch("configmaps", "x", patch)))[:2] == (409, "Conflict")


async def test_patch_types(cluster: Cluster) -> None:
    """Each patch format reaches the object."""
    await cluster.create("configmaps", {"metadata": {"name": "x"}, "data": {"a": "1", "b": "2"}})
    await cluster.patch("configmaps", "x", {"data": {"a": None}}, "merge")
    await cluster.patch("configmaps", "x", [{"op": "add", "path": "/data/c", "value": "3"}], "json")
    await cluster.patch("configmaps", "x", {"data": {"d": "4"}}, "strategic")
    await cluster.patch(
        "configmaps",
        "x",
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}, "data": {"e": "5"}},
        "apply",
    )
    assert cluster.get("configmaps", "x")["data"] == {"b": "2", "c": "3", "d": "4", "e": "5"}


async def test_apply_creates(cluster: Cluster) -> None:
    """Server-side apply of what is not there makes it; the other patches are 404."""
    content = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}, "data": {"e": "5"}}
    created = await cluster.patch("configmaps", "x", content, "apply")
    assert (created["metadata"]["name"], created["data"]) == ("x", {"e": "5"})
    assert (await refused(cluster.patch("configmaps", "y", {})))[0] == 404


@pytest.mark.parametrize(
    ("kind", "content", "code", "message"),
    [
        (
            "json",
            [{"op": "remove", "path": "/data/none"}],
            422,
            "the server rejected our request due to an error in our request",
        ),
        ("strategic", {"metadata": {"ownerReferences": [{"name": "x"}]}}, 500, None),
        ("merge", [1], 400, None),
        ("merge", {"data": 7}, 422, None),
        ("apply", {"metadata": {"name": "x"}}, 400, "invalid object type: /, Kind="),
    ],
)
async def test_bad_patches(cluster: Cluster, kind: Any, content: Any, code: int, message: str | None) -> None:
    """A patch that cannot be carried out changes nothing and says why."""
    await cluster.create("configmaps", {"metadata": {"name": "x"}, "data": {}})
    before = cluster.store.revision
    found = await refused(cluster.patch("configmaps", "x", content, kind))
    assert found[0] == code
    assert message is None or found[2] == message
    assert cluster.store.revision == before


async def test_pod_spec_is_guarded(cluster: Cluster, pod: Pod) -> None:
    """What a pod's update may not change is refused by the kind's rules, through a patch too."""
    await cluster.create("pods", pod)
    code, reason, message = await refused(cluster.patch("pods", "p", {"spec": {"hostNetwork": True}}))
    assert (code, reason) == (422, "Invalid")
    assert "pod updates may not change fields other than" in message


async def test_ephemeral_containers(cluster: Cluster, pod: Pod) -> None:
    """The subresource adds ephemeral containers and counts a generation; nothing else comes with it."""
    await cluster.create("pods", pod)
    change = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox:1"}], "hostNetwork": True}}
    after = await cluster.patch("pods", "p", change, subresource="ephemeralcontainers")
    assert [c["name"] for c in after["spec"]["ephemeralContainers"]] == ["debug"]
    assert (after["metadata"]["generation"], "hostNetwork" in after["spec"]) == (2, False)


async def test_events_patch_in_their_own_form(cluster: Cluster) -> None:
    """A patch of the events.k8s.io form changes the stored event."""
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "message": "hello",
        "count": 1,
    }
    await cluster.create("events", event)
    await cluster.patch("events.events.k8s.io", "e", {"note": "again", "series": {"count": 2}}, "merge")
    stored = cluster.get("events", "e")
    assert (stored["message"], stored["series"]) == ("again", {"count": 2, "lastObservedTime": None})
