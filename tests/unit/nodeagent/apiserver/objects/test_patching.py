"""Every way in which a patch can be wrong, with the status codes and words of a kube-apiserver."""

from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.options import WriteOptions
from nodeagent.apiserver.objects.patch import Patch

Cluster = Any
GENERIC = "the server rejected our request due to an error in our request"
NO_KIND = 'in scheme "pkg/api/legacyscheme/scheme.go:30"'


def op(kind: str, path: str, **rest: Any) -> list[Any]:
    return [{"op": kind, "path": path, **rest}]


@pytest.mark.parametrize(
    ("kind", "content", "code", "message"),
    [
        ("json", op("test", "/spec/nodeName", value="other"), 422, GENERIC),
        ("json", op("remove", "/spec/none"), 422, GENERIC),
        ("json", op("add", "/none/x", value=1), 422, GENERIC),
        ("json", op("burn", "/spec"), 422, GENERIC),
        ("json", [{"path": "/spec"}], 422, GENERIC),
        ("json", [{"op": "remove"}], 422, GENERIC),
        ("json", [None], 422, GENERIC),
        (
            "json",
            {"op": "remove"},
            400,
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ),
        (
            "json",
            ["x"],
            400,
            "error decoding patch: json: cannot unmarshal string into Go value of type handlers.jsonPatchOp",
        ),
        (
            "json",
            [{"op": 5, "path": "/spec"}],
            400,
            "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
        ),
        (
            "json",
            op("add", "/spec/x", value=1) * 10_001,
            413,
            "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001",
        ),
        (
            "merge",
            [1],
            400,
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        ("merge", None, 400, "Invalid JSON Patch"),
        ("strategic", "x", 400, "json: cannot unmarshal string into Go value of type map[string]interface {}"),
        (
            "strategic",
            {"spec": {"containers": [{"image": "x"}]}},
            500,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        ("strategic", {"spec": {"$patch": "burn"}}, 500, "unknown patch type: burn in map: map[$patch:burn]"),
        (
            "strategic",
            {"spec": {"containers": [{"name": "c", "$patch": "burn"}]}},
            500,
            "unknown patch type: burn in map: map[$patch:burn name:c]",
        ),
        ("strategic", {"spec": {"$retainKeys": "x"}}, 400, "invalid patch format of retainKeys"),
        ("strategic", {"spec": {"$retainKeys": ["nodeName"], "hostname": "x"}}, 422, GENERIC),
        (
            "strategic",
            {"metadata": {"$deleteFromPrimitiveList/finalizers": "x"}},
            400,
            "invalid patch format of primitive list",
        ),
        (
            "strategic",
            {"spec": {"$setElementOrder/containers": "x"}},
            400,
            "invalid patch format of setElementOrder list",
        ),
    ],
)
async def test_bad_patches(cluster: Cluster, pod: Any, kind: Any, content: Any, code: int, message: str) -> None:
    """400 what is no patch, 422 what does not apply, 413 too much of it, 500 what no list can be merged by."""
    await cluster.create("pods", pod)
    before = cluster.store.revision
    with pytest.raises(ApiError) as caught:
        await cluster.patch("pods", "p", content, kind)
    assert (caught.value.code, caught.value.message, cluster.store.revision) == (code, message, before)


@pytest.mark.parametrize("kind", ["json", "merge", "strategic"])
@pytest.mark.parametrize(
    ("path", "value", "options"),
    [
        ("spec", 7, {}),
        ("spec", {"containers": "x"}, {}),
        ("spec", {"activeDeadlineSeconds": "soon"}, {}),
        ("metadata", {"labels": {"a": 1}}, {}),
        ("nonsense", 1, {"field_validation": "Strict"}),
    ],
)
async def test_patches_that_make_no_object(
    cluster: Cluster, pod: Any, kind: Any, path: str, value: Any, options: Any
) -> None:
    """A patch whose result is of the wrong type, or has unknown fields where that is not allowed, is 422 about the patch."""
    await cluster.create("pods", pod)
    content: Any = op("add", f"/{path}", value=value) if kind == "json" else {path: value}
    with pytest.raises(ApiError) as caught:
        await cluster.patch("pods", "p", content, kind, **options)
    error = caught.value
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.message.startswith(' "" is invalid: patch: Invalid value: ')
    assert error.details is not None
    assert [cause["field"] for cause in error.details["causes"]] == ["patch"]
    assert set(error.details) == {"causes"} or error.details["kind"] == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "Node"}, "converting (v1.Node) to (core.Pod): unknown conversion"),
        ({"kind": "Nothing"}, f'no kind "Nothing" is registered for version "v1" {NO_KIND}'),
        ({"apiVersion": "v2"}, f'no kind "Pod" is registered for version "v2" {NO_KIND}'),
        (
            {"apiVersion": "apps/v1", "kind": "Deployment"},
            "converting (v1.Deployment) to (core.Pod): unknown conversion",
        ),
    ],
)
async def test_another_kind(cluster: Cluster, pod: Any, change: Any, why: str) -> None:
    """A JSON or merge patch to another kind or version is refused; a strategic one does not look at them."""
    made = await cluster.create("pods", pod)
    operations = [{"op": "replace", "path": f"/{name}", "value": value} for name, value in change.items()]
    for kind, content in (("json", operations), ("merge", change)):
        with pytest.raises(ApiError) as caught:
            await cluster.patch("pods", "p", content, kind)
        assert caught.value.code == 422
        assert caught.value.message.endswith(f": {why}")
    assert await cluster.patch("pods", "p", change, "strategic") == made


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"kind": "Service", "apiVersion": "v1"},
            'Service in version "v1" cannot be handled as a Pod: converting (v1.Service) to (core.Pod): unknown conversion',
        ),
        (
            {"kind": "Nothing"},
            f'Nothing in version "v1" cannot be handled as a Pod: no kind "Nothing" is registered for version "v1" {NO_KIND}',
        ),
        (
            {"apiVersion": "x.y/v7"},
            f'Pod in version "v7" cannot be handled as a Pod: no kind "Pod" is registered for version "x.y/v7" {NO_KIND}',
        ),
    ],
)
async def test_bodies_of_another_kind(cluster: Cluster, pod: Any, body: Any, message: str) -> None:
    """A body that says that it is something else is 400, in a create and in a PUT."""
    await cluster.create("pods", pod)
    wrong = {"metadata": {"name": "p", "namespace": "default"}, **body}
    for act in (cluster.create, cluster.update):
        with pytest.raises(ApiError) as caught:
            await act("pods", dict(wrong))
        assert (caught.value.code, caught.value.message) == (400, message)


async def test_an_event_of_the_other_group(cluster: Cluster) -> None:
    """A kind that exists in another version is told apart by its version."""
    with pytest.raises(ApiError) as caught:
        await cluster.create("events", {"metadata": {"name": "e"}, "kind": "Event", "apiVersion": "events.k8s.io/v1"})
    assert (caught.value.code, caught.value.message) == (
        400,
        "the API version in the data (events.k8s.io/v1) does not match the expected API version (v1)",
    )


async def test_unknown_fields_of_operations(cluster: Cluster, pod: Any) -> None:
    """They are warned of, or refused where the client is strict, or not looked at where it does not care."""
    await cluster.create("pods", pod)
    content = op("add", "/metadata/labels", value={"a": "b"}, foo=1)
    kind = cluster.objects.kind("pods")

    async def answer(validation: Any) -> Any:
        change, options = Patch(type="json", content=content), WriteOptions(field_validation=validation)
        return await cluster.objects.patch(kind, "default", "p", change, options, cluster.user)

    assert (await answer("Ignore")).warnings == ()
    assert (await answer("Warn")).warnings == ('json patch unknown field "[0].foo"',)
    with pytest.raises(ApiError) as caught:
        await answer("Strict")
    assert caught.value.code == 422
    assert caught.value.message.endswith('strict decoding error: json patch unknown field "[0].foo"')


async def test_a_refusal_carries_its_warnings(cluster: Cluster, pod: Any) -> None:
    """What was warned of before the refusal is still told."""
    with pytest.raises(ApiError) as caught:
        await cluster.create("pods", {**pod, "foo": 1, "metadata": {"name": "Bad_"}})
    assert (caught.value.code, caught.value.warnings) == (422, ('unknown field "foo"',))
