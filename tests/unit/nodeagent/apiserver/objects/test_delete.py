"""Deleting objects: at once, gracefully, held by finalizers."""

from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.options import DeleteOptions
from nodeagent.apiserver.selectors import Selection, parse_labels

Cluster = Any
Pod = dict[str, Any]


async def refused(coroutine: Any) -> tuple[int, str, str]:
    with pytest.raises(ApiError) as caught:
        await coroutine
    return caught.value.code, caught.value.reason, caught.value.message


async def test_immediate(cluster: Cluster) -> None:
    """A plain object is gone at once; the answer is a Status that names it."""
    created = await cluster.create("leases.coordination.k8s.io", {"metadata": {"name": "x"}})
    assert await cluster.delete("leases.coordination.k8s.io", "x") == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "name": "x",
            "kind": "leases",
            "uid": created["metadata"]["uid"],
            "group": "coordination.k8s.io",
        },
    }
    assert cluster.get("leases.coordination.k8s.io", "x") is None
    assert (await refused(cluster.delete("leases.coordination.k8s.io", "x")))[0] == 404


async def test_preconditions(cluster: Cluster, pod: Pod) -> None:
    """Another uid or resourceVersion than asked for is a conflict with a text that says so."""
    uid = (await cluster.create("pods", pod))["metadata"]["uid"]
    assert await refused(cluster.delete("pods", "p", uid="other")) == (
        409,
        "Conflict",
        f'Operation cannot be fulfilled on Pod "p": the UID in the precondition (other) does not match the UID in record '
        f"({uid}). The object might have been deleted and then recreated",
    )
    assert (await refused(cluster.delete("pods", "p", uid=uid, revision="1")))[0] == 409
    assert cluster.get("pods", "p") is not None


async def test_graceful(cluster: Cluster, pod: Pod, clock: Any) -> None:
    """A pod with a node gets its grace period; later deletes can only shorten it, counted from the first."""
    await cluster.create("pods", pod)

    async def deleted(**options: Any) -> tuple[str, int, int]:
        meta = (await cluster.delete("pods", "p", **options))["metadata"]
        return meta["deletionTimestamp"], meta["deletionGracePeriodSeconds"], meta["generation"]

    assert await deleted() == ("2026-01-02T03:04:35Z", 30, 2)
    clock.forward(5)
    assert await deleted() == ("2026-01-02T03:04:35Z", 30, 2)
    assert await deleted(grace_period_seconds=60) == ("2026-01-02T03:04:35Z", 30, 2)
    assert await deleted(grace_period_seconds=20) == ("2026-01-02T03:04:25Z", 20, 2)
    # never earlier than now
    assert await deleted(grace_period_seconds=1) == ("2026-01-02T03:04:10Z", 1, 2)
    await cluster.delete("pods", "p", grace_period_seconds=0)
    assert cluster.get("pods", "p") is None


@pytest.mark.parametrize(
    ("spec", "status", "asked", "left"),
    [
        ({}, {}, None, 30),
        ({"terminationGracePeriodSeconds": 7}, {}, None, 7),
        ({}, {}, -5, 1),
        ({}, {}, 0, None),
        ({}, {"phase": "Succeeded"}, None, None),
        ({}, {"phase": "Failed"}, None, None),
        ({"nodeName": ""}, {}, None, None),
        ({"nodeName": ""}, {}, 9, None),
    ],
)
async def test_grace_period(cluster: Cluster, pod: Pod, spec: Any, status: Any, asked: Any, left: Any) -> None:
    """How long a pod may take; none at all when it has no node or has ended."""
    pod["spec"].update(spec)
    if not pod["spec"]["nodeName"]:
        del pod["spec"]["nodeName"]
    await cluster.create("pods", pod)
    if status:
        await cluster.patch("pods", "p", {"status": status}, subresource="status")
    await cluster.delete("pods", "p", grace_period_seconds=asked)
    stored = cluster.get("pods", "p")
    assert (stored and stored["metadata"]["deletionGracePeriodSeconds"]) == left


async def test_unscheduled_pod_is_seen_going(cluster: Cluster, pod: Pod) -> None:
    """The deletion of a pod without a node is MODIFIED and then DELETED, forced it is DELETED alone."""
    del pod["spec"]["nodeName"]
    events = []
    for options in ({}, {"grace_period_seconds": 0}):
        await cluster.create("pods", pod)
        watcher = cluster.store.watch("pods", Selection(), cluster.store.revision)
        await cluster.delete("pods", "p", **options)
        events.append([seen.type for seen in watcher.take()])
    assert events == [["MODIFIED", "DELETED"], ["DELETED"]]


async def test_finalizers(cluster: Cluster) -> None:
    """A finalizer keeps the object, marked; no new one may come; taking the last off removes it."""
    await cluster.create("configmaps", {"metadata": {"name": "x", "finalizers": ["a.b/c"]}})
    held = await cluster.delete("configmaps", "x")
    assert (held["metadata"]["deletionTimestamp"], held["metadata"]["deletionGracePeriodSeconds"]) == (
        "2026-01-02T03:04:05Z",
        0,
    )
    assert await cluster.delete("configmaps", "x") == held
    code, _, message = await refused(cluster.patch("configmaps", "x", {"metadata": {"finalizers": ["d.e/f"]}}))
    assert (code, "no new finalizers can be added if the object is being deleted" in message) == (422, True)
    await cluster.patch("configmaps", "x", {"metadata": {"finalizers": None}}, "merge")
    assert cluster.get("configmaps", "x") is None


async def test_pod_with_finalizer(cluster: Cluster, pod: Pod) -> None:
    """After its final delete a pod with a finalizer stays with grace 0 until that is off."""
    pod["metadata"]["finalizers"] = ["a.b/c"]
    await cluster.create("pods", pod)
    await cluster.delete("pods", "p")
    await cluster.delete("pods", "p", grace_period_seconds=0)
    assert cluster.get("pods", "p")["metadata"]["deletionGracePeriodSeconds"] == 0
    await cluster.patch("pods", "p", {"metadata": {"finalizers": None}}, "merge")
    assert cluster.get("pods", "p") is None


async def test_namespace(cluster: Cluster) -> None:
    """A namespace is Terminating until its own finalizer is taken off through finalize; the first ones stay for ever."""
    await cluster.create("namespaces", {"metadata": {"name": "t"}})
    deleted = await cluster.delete("namespaces", "t")
    assert (deleted["kind"], deleted["status"]["phase"]) == ("Namespace", "Terminating")
    assert cluster.get("namespaces", "t")["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:05Z"
    deleted["spec"]["finalizers"] = []
    await cluster.update("namespaces", deleted, "finalize")
    assert cluster.get("namespaces", "t") is None
    assert (await refused(cluster.delete("namespaces", "default")))[:2] == (403, "Forbidden")


async def test_dry_run(cluster: Cluster, pod: Pod) -> None:
    """A dry run of a delete changes nothing."""
    await cluster.create("pods", pod)
    before = cluster.store.revision
    await cluster.delete("pods", "p", dry_run=True)
    await cluster.delete("pods", "p", dry_run=True, grace_period_seconds=0)
    assert (cluster.store.revision, cluster.get("pods", "p") is not None) == (before, True)


async def test_collection(cluster: Cluster) -> None:
    """A delete of a collection takes what is selected and answers with what it took."""
    for name in "abc":
        await cluster.create("configmaps", {"metadata": {"name": name, "labels": {"x": name}}})
    selection = Selection(namespace="default", labels=parse_labels("x in (a,c)"))
    kind = cluster.objects.kind("configmaps")
    deleted = await cluster.objects.delete_collection(kind, selection, DeleteOptions(), cluster.user)
    assert len(deleted) == 2
    assert [s.key.name for s in cluster.store.list("configmaps")] == ["b"]
