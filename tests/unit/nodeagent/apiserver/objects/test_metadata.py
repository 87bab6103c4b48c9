"""What a client may and may not change in the metadata of an object, on five kinds, by every way there is."""

import copy
from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.options import WriteOptions

Cluster = Any
CONTAINERS = [{"name": "c", "image": "busybox:1"}]
KINDS: dict[str, Any] = {
    "pods": {"spec": {"nodeName": "n1", "containers": CONTAINERS}},
    "configmaps": {"data": {"a": "b"}},
    "services": {"spec": {"ports": [{"port": 80}]}},
    "nodes": {},
    "leases.coordination.k8s.io": {"spec": {"holderIdentity": "me"}},
}
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}


async def refused(coroutine: Any) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        await coroutine
    return caught.value.code, caught.value.message


def message_kind(cluster: Cluster, resource: str) -> str:
    kind = cluster.objects.kind(resource)
    return f"{kind.kind}.{kind.group}" if kind.group else str(kind.kind)


@pytest.fixture(params=KINDS)
async def made(request: pytest.FixtureRequest, cluster: Cluster) -> tuple[str, Any]:
    """One object of each kind."""
    resource = request.param
    return resource, await cluster.create(resource, {"metadata": {"name": "x"}, **copy.deepcopy(KINDS[resource])})


async def changed_by(way: str, cluster: Cluster, resource: str, obj: Any, metadata: Any) -> Any:
    """Change fields of metadata by a PUT or by one of the patch types."""
    if way == "put":
        kind = cluster.objects.kind(resource)
        body = copy.deepcopy(obj)
        body["metadata"] |= metadata
        namespace = "default" if kind.namespaced else ""
        answer = await cluster.objects.update(kind, namespace, "x", body, WriteOptions(), cluster.user)
        return cluster._decoded(answer)
    if way == "json":
        operations = [{"op": "add", "path": f"/metadata/{key}", "value": value} for key, value in metadata.items()]
        return await cluster.patch(resource, "x", operations, "json")
    return await cluster.patch(resource, "x", {"metadata": metadata}, way)


WAYS = ["put", "json", "merge", "strategic"]


@pytest.mark.parametrize("way", WAYS)
async def test_place(cluster: Cluster, made: Any, way: str) -> None:
    """An object is neither moved nor renamed: 400. A cluster-scoped one has no namespace, whatever is said."""
    resource, obj = made
    before = cluster.store.revision
    assert await refused(changed_by(way, cluster, resource, obj, {"name": "y"})) == (
        400,
        "the name of the object (y) does not match the name on the URL (x)",
    )
    moved = changed_by(way, cluster, resource, obj, {"namespace": "other"})
    if cluster.objects.kind(resource).namespaced:
        text = "the namespace of the provided object does not match the namespace sent on the request"
        assert await refused(moved) == (400, text)
    else:
        assert (await moved) == obj
    assert cluster.store.revision == before
    without = await changed_by(way, cluster, resource, obj, {"namespace": ""})
    assert without == obj
    assert await refused(changed_by(way, cluster, resource, obj, {"name": ""})) == (
        400,
        "the name of the object (x based on URL) was undeterminable: name must be provided",
    )


@pytest.mark.parametrize("way", WAYS)
async def test_identity_and_times(cluster: Cluster, made: Any, way: str) -> None:
    """Times of creation and the generation are kept in silence; another uid is a conflict of a PUT and immutable to a patch;
    nobody but a delete sets a time of deletion."""
    resource, obj = made
    kept = {"creationTimestamp": "2000-01-01T00:00:00Z", "generation": 77, "selfLink": "/x"}
    assert await changed_by(way, cluster, resource, obj, kept) == obj
    kind, uid = message_kind(cluster, resource), obj["metadata"]["uid"]
    found = await refused(changed_by(way, cluster, resource, obj, {"uid": "other"}))
    if way == "put":
        precondition = f"Precondition failed: UID in precondition: other, UID in object meta: {uid}"
        assert found == (409, f'Operation cannot be fulfilled on {resource} "x": {precondition}')
    else:
        assert found == (422, f'{kind} "x" is invalid: metadata.uid: Invalid value: "other": field is immutable')
    assert await refused(changed_by(way, cluster, resource, obj, {"deletionTimestamp": "2030-01-01T00:00:00Z"})) == (
        422,
        f'{kind} "x" is invalid: metadata.deletionTimestamp: Invalid value: "2030-01-01T00:00:00Z": field is immutable',
    )
    assert await refused(changed_by(way, cluster, resource, obj, {"deletionGracePeriodSeconds": 7})) == (
        422,
        f'{kind} "x" is invalid: metadata.deletionGracePeriodSeconds: Invalid value: 7: field is immutable',
    )
    stale = {"resourceVersion": "1"}
    assert (await refused(changed_by(way, cluster, resource, obj, stale)))[0] == 409
    renamed = await changed_by(way, cluster, resource, obj, {"generateName": "x-"})
    assert renamed["metadata"]["generateName"] == "x-"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"labels": {"-a": "b"}}, 'metadata.labels: Invalid value: "-a": name part must consist of'),
        ({"labels": {"a": "b c"}}, 'metadata.labels: Invalid value: "b c": a valid label must be'),
        (
            {"annotations": {"a/b/c": ""}},
            'metadata.annotations: Invalid value: "a/b/c": a qualified name must consist of',
        ),
        (
            {"annotations": {"a": "x" * (256 << 10)}},
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
        ({"generateName": "a/b"}, "metadata.generateName: Invalid value: \"a/b\": may not contain '/'"),
        (
            {"ownerReferences": [{**OWNER, "apiVersion": ""}]},
            'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty',
        ),
        ({"ownerReferences": [{**OWNER, "name": ""}]}, 'metadata.ownerReferences.name: Invalid value: "": must not be'),
        (
            {"ownerReferences": [{**OWNER, "kind": "Event"}]},
            'metadata.ownerReferences: Invalid value: {"apiVersion":"v1","kind":"Event","name":"n","uid":"u"}: '
            "/v1, Kind=Event is disallowed from being an owner",
        ),
        ({"finalizers": ["own"]}, 'metadata.finalizers[0]: Invalid value: "own": name is neither a standard finalizer'),
        ({"finalizers": ["a b/c"]}, 'metadata.finalizers: Invalid value: "a b/c": prefix part a lowercase RFC 1123'),
        (
            {"finalizers": ["orphan", "foregroundDeletion"]},
            'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer foregroundDeletion and orphan '
            "cannot be both set",
        ),
    ],
)
async def test_rules(cluster: Cluster, way: str, metadata: Any, text: str) -> None:
    """The rules of labels, annotations, owners and finalizers hold however they are written."""
    obj = await cluster.create("configmaps", {"metadata": {"name": "x"}})
    code, message = await refused(changed_by(way, cluster, "configmaps", obj, metadata))
    assert code == 422
    assert message.removeprefix('ConfigMap "x" is invalid: ').removeprefix("[").startswith(text)


async def test_one_controller(cluster: Cluster) -> None:
    """Of several owners one may be the controller; the two are named."""
    owners = [{**OWNER, "controller": True}, {**OWNER, "name": "m", "uid": "v", "controller": True}]
    code, message = await refused(cluster.create("configmaps", {"metadata": {"name": "x", "ownerReferences": owners}}))
    assert code == 422
    assert message.endswith(
        'Only one reference can have Controller set to true. Found "true" in references for Node/n and Node/m'
    )


async def test_owners_twice(cluster: Cluster) -> None:
    """An owner that is named twice counts once, with a warning that tells when it was seen."""
    deduped = (
        "API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your "
        "requests; duplicate UID(s) observed: u"
    )
    answer = await cluster.answer_of_create(
        "configmaps", {"metadata": {"name": "x", "ownerReferences": [OWNER, OWNER]}}
    )
    assert answer.warnings == (f".metadata.ownerReferences contains duplicate entries; {deduped}",)
    assert cluster.get("configmaps", "x")["metadata"]["ownerReferences"] == [OWNER]


async def test_generated_names(cluster: Cluster) -> None:
    """A base that makes no name is told beside the name that came of it."""
    code, message = await refused(cluster.create("configmaps", {"metadata": {"generateName": "Bad_"}}))
    assert code == 422
    assert 'metadata.generateName: Invalid value: "Bad_"' in message
    assert 'metadata.name: Invalid value: "Bad_' in message
    made = await cluster.create("configmaps", {"metadata": {"generateName": "good-"}})
    assert made["metadata"]["name"].startswith("good-")


async def test_finalizers_of_what_is_being_deleted(cluster: Cluster) -> None:
    """They are only taken off; labels still change; the time of deletion stays; the last one gone, the object goes."""
    finalizers = ["a.b/c", "a.b/d"]
    await cluster.create("configmaps", {"metadata": {"name": "x", "finalizers": finalizers}})
    held = await cluster.delete("configmaps", "x")
    deleted = held["metadata"]["deletionTimestamp"]
    assert await refused(
        cluster.patch("configmaps", "x", {"metadata": {"finalizers": [*finalizers, "z.y/x"]}}, "merge")
    ) == (
        422,
        'ConfigMap "x" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being '
        'deleted, found new finalizers []string{"z.y/x"}',
    )
    change = {"labels": {"a": "b"}, "deletionTimestamp": None, "deletionGracePeriodSeconds": None}
    after = await cluster.patch("configmaps", "x", {"metadata": change}, "merge")
    assert (after["metadata"]["deletionTimestamp"], after["metadata"]["labels"]) == (deleted, {"a": "b"})
    assert await refused(
        cluster.patch("configmaps", "x", {"metadata": {"deletionGracePeriodSeconds": 9}}, "merge")
    ) == (
        422,
        'ConfigMap "x" is invalid: metadata.deletionGracePeriodSeconds: Invalid value: 9: field is immutable',
    )
    await cluster.patch("configmaps", "x", {"metadata": {"finalizers": None}}, "merge")
    assert cluster.get("configmaps", "x") is None


async def test_a_replacement_must_say_what_it_replaces(cluster: Cluster) -> None:
    """Some kinds take no PUT without a resourceVersion."""
    lease = await cluster.create("leases.coordination.k8s.io", {"metadata": {"name": "x"}, "spec": {}})
    del lease["metadata"]["resourceVersion"]
    assert await refused(cluster.update("leases.coordination.k8s.io", lease)) == (
        422,
        'leases.coordination.k8s.io "x" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an '
        "update",
    )


@pytest.mark.parametrize("subresource", ["status", "ephemeralcontainers", "resize"])
async def test_subresources(cluster: Cluster, pod: Any, subresource: str) -> None:
    """The doors to parts of an object guard its place and identity as the main one does."""
    await cluster.create("pods", pod)
    before = cluster.store.revision

    async def patched(metadata: Any) -> Any:
        return await cluster.patch("pods", "p", {"metadata": metadata}, "merge", subresource)

    assert (await refused(patched({"namespace": "other"})))[0] == 400
    assert (await refused(patched({"name": "q"})))[0] == 400
    assert (await refused(patched({"uid": "other"})))[0] == 422
    assert (await refused(patched({"resourceVersion": "1"})))[0] == 409
    same = await patched({"creationTimestamp": "2000-01-01T00:00:00Z", "deletionTimestamp": "2000-01-01T00:00:00Z"})
    assert "deletionTimestamp" not in same["metadata"]
    assert cluster.store.revision == before


async def test_bindings_and_evictions_name_their_pod(cluster: Cluster, pod: Any) -> None:
    """A binding or an eviction of another name or namespace than the URL's is 400."""
    await cluster.create("pods", {**pod, "spec": {"containers": CONTAINERS}})
    other = "the namespace of the provided object does not match the namespace sent on the request"
    for act, kind in ((cluster.objects.bind, "Binding"), (cluster.objects.evict, "Eviction")):
        body: Any = {"metadata": {"name": "q"}, **({"target": {"name": "n1"}} if kind == "Binding" else {})}
        asked = act("default", "p", body, WriteOptions(), cluster.user)
        assert await refused(asked) == (400, f"name in URL does not match name in {kind} object")
        body["metadata"] = {"name": "p", "namespace": "elsewhere"}
        asked = act("default", "p", copy.deepcopy(body), WriteOptions(), cluster.user)
        assert await refused(asked) == (400, other)
