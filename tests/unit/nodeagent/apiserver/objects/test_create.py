"""Creating objects."""

from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError

Cluster = Any
Pod = dict[str, Any]


async def refused(coroutine: Any) -> tuple[int, str, str]:
    with pytest.raises(ApiError) as caught:
        await coroutine
    return caught.value.code, caught.value.reason, caught.value.message


async def test_metadata_is_made(cluster: Cluster) -> None:
    """What only the server may say is replaced by what it says; the rest is kept; kind and apiVersion are filled in."""
    created = await cluster.create(
        "configmaps",
        {
            "metadata": {
                "name": "x",
                "labels": {"a": "b"},
                "uid": "mine",
                "generation": 7,
                "creationTimestamp": "2000-01-01T00:00:00Z",
                "deletionTimestamp": "2000-01-01T00:00:00Z",
                "managedFields": [],
            },
            "data": {"k": "v"},
        },
    )
    uid = created["metadata"].pop("uid")
    assert len(uid) == 36
    assert created == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {
            "name": "x",
            "namespace": "default",
            "labels": {"a": "b"},
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "resourceVersion": "3",
            "managedFields": [
                {
                    "manager": "unknown",
                    "operation": "Update",
                    "apiVersion": "v1",
                    "time": "2026-01-02T03:04:05Z",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {
                        "f:data": {".": {}, "f:k": {}},
                        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                    },
                }
            ],
        },
        "data": {"k": "v"},
    }
    assert cluster.get("configmaps", "x")["metadata"]["uid"] == uid


async def test_status_is_not_the_authors(cluster: Cluster, pod: Pod) -> None:
    """A pod begins Pending whatever status it was posted with; a node may bring its own."""
    created = await cluster.create("pods", {**pod, "status": {"phase": "Running"}})
    assert (created["status"]["phase"], created["metadata"]["generation"]) == ("Pending", 1)
    node = await cluster.create("nodes", {"metadata": {"name": "n1"}, "status": {"capacity": {"cpu": "2"}}})
    assert node["status"]["capacity"] == {"cpu": "2"}


async def test_twice(cluster: Cluster) -> None:
    """A name that is taken is 409 AlreadyExists."""
    await cluster.create("configmaps", {"metadata": {"name": "x"}})
    assert await refused(cluster.create("configmaps", {"metadata": {"name": "x"}})) == (
        409,
        "AlreadyExists",
        'configmaps "x" already exists',
    )


async def test_generated_names(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generated name has five characters after the base; one that is taken is made again."""
    suffixes = iter(["aaaaa", "aaaaa", "bbbbb"])
    monkeypatch.setattr("nodeagent.apiserver.objects.metadata.generated_name", lambda base: base[:58] + next(suffixes))
    names = [
        (await cluster.create("configmaps", {"metadata": {"generateName": "x-"}}))["metadata"]["name"] for _ in range(2)
    ]
    assert names == ["x-aaaaa", "x-bbbbb"]


async def test_resource_version_is_refused(cluster: Cluster) -> None:
    """An object that says a resourceVersion was not meant to be created."""
    assert await refused(cluster.create("configmaps", {"metadata": {"name": "x", "resourceVersion": "1"}})) == (
        500,
        "",
        "resourceVersion should not be set on objects to be created",
    )


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ({"metadata": {}}, 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'),
        (
            {"metadata": {"name": "x", "labels": {"a b": "c"}, "finalizers": ["f"]}},
            'ConfigMap "x" is invalid: [metadata.labels: Invalid value: "a b": name part must consist of alphanumeric '
            "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
            "'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'), "
            'metadata.finalizers[0]: Invalid value: "f": name is neither a standard finalizer name nor is it fully '
            "qualified]",
        ),
        (
            {"metadata": {"name": "x", "ownerReferences": [{"apiVersion": "", "kind": "Node", "name": "n"}]}},
            'ConfigMap "x" is invalid: [metadata.ownerReferences.apiVersion: Invalid value: "": version must not be '
            'empty, metadata.ownerReferences.uid: Invalid value: "": must not be empty]',
        ),
        (
            {"metadata": {"name": "x", "annotations": {"a": "x" * (257 << 10)}}},
            'ConfigMap "x" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes',
        ),
    ],
)
async def test_bad_metadata(cluster: Cluster, obj: Any, message: str) -> None:
    """Faults of the metadata are told with their paths, all at once."""
    assert await refused(cluster.create("configmaps", obj)) == (422, "Invalid", message)


async def test_wrong_kind_and_namespace(cluster: Cluster) -> None:
    """An object of another kind, or for another namespace than the path's, is 400."""
    code, reason, message = await refused(cluster.create("configmaps", {"kind": "Pod", "metadata": {"name": "x"}}))
    assert (code, reason) == (400, "BadRequest")
    assert message.startswith('Pod in version "v1" cannot be handled as a ConfigMap: ')
    assert await refused(cluster.create("configmaps", {"metadata": {"name": "x", "namespace": "other"}})) == (
        400,
        "BadRequest",
        "the namespace of the provided object does not match the namespace sent on the request",
    )


async def test_wrong_type(cluster: Cluster, pod: Pod) -> None:
    """A value of a wrong type is 400 and says where."""
    pod["spec"]["activeDeadlineSeconds"] = "soon"
    code, _, message = await refused(cluster.create("pods", pod))
    assert code == 400
    assert message.startswith('Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string')
    assert "activeDeadlineSeconds" in message


async def test_unknown_fields(cluster: Cluster, pod: Pod) -> None:
    """Unknown fields are never stored: refused when strict, warned of by default, silently dropped when ignored."""
    pod["spec"]["containers"][0]["foo"] = 1
    pod["spec"]["bar"] = {"deep": True}
    assert await refused(cluster.create("pods", pod, field_validation="Strict")) == (
        400,
        "BadRequest",
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: '
        'unknown field "spec.containers[0].foo", unknown field "spec.bar"',
    )
    answer = await cluster.answer_of_create("pods", pod)
    assert answer.warnings == ('unknown field "spec.containers[0].foo"', 'unknown field "spec.bar"')
    stored = cluster.get("pods", "p")
    assert ("foo" in stored["spec"]["containers"][0], "bar" in stored["spec"]) == (False, False)


async def test_dry_run(cluster: Cluster) -> None:
    """A dry run answers as if, with no resourceVersion, and leaves nothing behind."""
    before = cluster.store.revision
    created = await cluster.create("configmaps", {"metadata": {"name": "x"}}, dry_run=True)
    assert (created["metadata"]["name"], "resourceVersion" in created["metadata"]) == ("x", False)
    assert (cluster.get("configmaps", "x"), cluster.store.revision) == (None, before)


async def test_both_forms_of_events(cluster: Cluster) -> None:
    """An event made in one group is the same object in the other, under its other names."""
    kind = cluster.objects.kind("events.events.k8s.io")
    await cluster.create(
        "events.events.k8s.io",
        {
            "metadata": {"name": "e"},
            "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
            "note": "hello",
            "reason": "R",
            "reportingController": "me",
            "eventTime": "2026-01-02T03:04:05.000000Z",
        },
    )
    core = cluster.get("events", "e")
    assert (core["apiVersion"], core["involvedObject"]["name"], core["message"], core["reportingComponent"]) == (
        "v1",
        "p",
        "hello",
        "me",
    )
    shown = kind.view.show(core)
    assert (shown["apiVersion"], shown["regarding"]["name"], shown["note"]) == ("events.k8s.io/v1", "p", "hello")
