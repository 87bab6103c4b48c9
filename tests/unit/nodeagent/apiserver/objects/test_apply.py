"""Server-side apply, and who owns what after every kind of write, through the objects of a cluster."""

import json
from typing import Any

import pytest

from nodeagent.apiserver.apply import sets
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.registry.builtin import RESOURCES
from runtimes.kube.json_object import JsonObject

Cluster = Any
T0 = "2026-01-02T03:04:05Z"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def config_map(data: JsonObject | None = None, **metadata: Any) -> JsonObject:
    found: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", **metadata}}
    return found if data is None else {**found, "data": data}


def service(*ports: JsonObject, **spec: Any) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {**({"ports": list(ports)} if ports else {}), **spec},
    }


def pod(*containers: JsonObject, **spec: Any) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": list(containers), **spec},
    }


async def apply(
    cluster: Cluster, obj: JsonObject, manager: str = "one", *, sub: str | None = None, **options: Any
) -> JsonObject:
    plural = f"{obj['kind'].lower()}s"
    result: JsonObject = await cluster.patch(
        plural, obj["metadata"].get("name"), obj, "apply", subresource=sub, field_manager=manager, **options
    )
    return result


async def refused(coroutine: Any) -> JsonObject:
    with pytest.raises(ApiError) as caught:
        await coroutine
    return caught.value.status()


def owners(obj: JsonObject) -> dict[str, list[str]]:
    """`manager operation` (`manager operation/subresource`) -> the fields it owns."""
    found = {}
    for entry in obj["metadata"].get("managedFields", []):
        name = f"{entry['manager']} {entry['operation']}" + (
            f"/{entry['subresource']}" if "subresource" in entry else ""
        )
        assert name not in found
        found[name] = [sets.readable(path) for path in sets.paths(sets.read(entry["fieldsV1"]))]
    return found


async def test_create_by_apply(cluster: Cluster) -> None:
    """What is not there is made: 201, owned by its applier, defaults and allocations by nobody."""
    answer = await cluster.objects.patch(
        cluster.objects.kind("services"),
        "default",
        "s",
        change(service({"port": 80})),
        write_options(field_manager="one"),
        cluster.user,
    )
    made = json.loads(answer.data)
    assert answer.code == 201
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "one",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": T0,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}},
        }
    ]
    assert made["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert cluster.get("services", "s") == made


def change(content: JsonObject) -> Any:
    from nodeagent.apiserver.objects.patch import Patch

    return Patch(type="apply", content=content)


def write_options(**options: Any) -> Any:
    from nodeagent.apiserver.objects.options import WriteOptions

    return WriteOptions(**options)


async def test_a_field_left_out_goes(cluster: Cluster) -> None:
    """What its applier leaves out goes, what others own or nobody does stays."""
    await cluster.create("configmaps", config_map({"created": "1"}), field_manager="creator")
    await apply(cluster, config_map({"a": "1", "b": "2"}, labels={"l": "1"}))
    await apply(cluster, config_map({"c": "3"}), "two")
    after = await apply(cluster, config_map({"b": "3"}))
    assert after["data"] == {"created": "1", "b": "3", "c": "3"}
    assert "labels" not in after["metadata"]
    assert owners(after) == {
        "one Apply": [".data.b"],
        "two Apply": [".data.c"],
        "creator Update": [".data", ".data.created"],
    }


async def test_a_conflict_and_its_force(cluster: Cluster) -> None:
    """A field of another is refused with its owner; by force it changes hands."""
    await cluster.create("configmaps", config_map({"a": "1", "b": "1"}), field_manager="kubectl-client-side-apply")
    assert await refused(apply(cluster, config_map({"a": "2"}))) == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .data.a',
        "reason": "Conflict",
        "details": {
            "causes": [
                {
                    "reason": "FieldManagerConflict",
                    "message": 'conflict with "kubectl-client-side-apply" using v1',
                    "field": ".data.a",
                }
            ]
        },
        "code": 409,
    }
    assert cluster.get("configmaps", "x")["data"] == {"a": "1", "b": "1"}
    forced = await apply(cluster, config_map({"a": "2"}), force=True)
    assert forced["data"] == {"a": "2", "b": "1"}
    assert owners(forced) == {"one Apply": [".data.a"], "kubectl-client-side-apply Update": [".data", ".data.b"]}


async def test_conflicts_with_many(cluster: Cluster) -> None:
    """All conflicts come at once, by manager."""
    await apply(cluster, config_map({"a": "1", "b": "1"}), "beta")
    await cluster.patch("configmaps", "x", {"data": {"c": "1"}}, "merge", field_manager="alpha")
    status = await refused(apply(cluster, config_map({"a": "2", "b": "2", "c": "2", "d": "2"})))
    assert status["message"] == (
        'Apply failed with 3 conflicts: conflicts with "alpha" using v1:\n- .data.c\n'
        'conflicts with "beta":\n- .data.a\n- .data.b'
    )
    assert [cause["field"] for cause in status["details"]["causes"]] == [".data.c", ".data.a", ".data.b"]


async def test_two_owners_of_one_field(cluster: Cluster) -> None:
    """The same value is owned together; it stays until the last of them leaves it out."""
    await apply(cluster, config_map({"a": "1"}))
    both = await apply(cluster, config_map({"a": "1"}), "two")
    assert owners(both) == {"one Apply": [".data.a"], "two Apply": [".data.a"]}
    left = await apply(cluster, config_map({"b": "1"}))
    assert (left["data"], owners(left)) == ({"a": "1", "b": "1"}, {"one Apply": [".data.b"], "two Apply": [".data.a"]})
    gone = await apply(cluster, config_map({"z": "1"}), "two")
    assert gone["data"] == {"b": "1", "z": "1"}


async def test_an_update_takes_what_it_changes(cluster: Cluster, clock: Any) -> None:
    """Every other write owns what it changed, and only that; what it removed is nobody's."""
    await apply(cluster, config_map({"a": "1", "b": "1", "c": "1"}))
    clock.forward(10)
    current = cluster.get("configmaps", "x")
    current["data"] = {"a": "2", "b": "1", "n": "1"}
    current["metadata"].pop("managedFields")
    after = await cluster.update("configmaps", current)
    assert owners(after) == {"one Apply": [".data.b"], "unknown Update": [".data.a", ".data.n"]}
    assert [entry["time"] for entry in after["metadata"]["managedFields"]] == [T0, "2026-01-02T03:04:15Z"]
    assert (await refused(apply(cluster, config_map({"a": "1"}))))["details"]["causes"][0]["field"] == ".data.a"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("merge", {"data": {"a": "2"}}),
        ("strategic", {"data": {"a": "2"}}),
        ("json", [{"op": "replace", "path": "/data/a", "value": "2"}]),
    ],
)
async def test_patches_own_what_they_change(cluster: Cluster, kind: Any, content: Any) -> None:
    """By every format of patches."""
    await apply(cluster, config_map({"a": "1", "b": "1"}))
    after = await cluster.patch("configmaps", "x", content, kind, field_manager="kubectl-patch")
    assert owners(after) == {"one Apply": [".data.b"], "kubectl-patch Update": [".data.a"]}


async def test_nothing_new_is_nothing_written(cluster: Cluster, clock: Any) -> None:
    """The same configuration, or an update that changes nothing, keeps time and resourceVersion."""
    first = await apply(cluster, config_map({"a": "1"}))
    clock.forward(60)
    assert await apply(cluster, config_map({"a": "1"})) == first
    assert await cluster.patch("configmaps", "x", {"data": {"a": "1"}}, "merge", field_manager="other") == first
    assert await cluster.update("configmaps", first) == first
    second = await apply(cluster, config_map({"a": "2"}))
    assert second["metadata"]["managedFields"][0]["time"] == "2026-01-02T03:05:05Z"
    assert int(second["metadata"]["resourceVersion"]) == int(first["metadata"]["resourceVersion"]) + 1


async def test_a_second_owner_is_written_without_a_time(cluster: Cluster) -> None:
    """Nothing of the object changed: only the entry is new, and says no time, as upstream's."""
    first = await apply(cluster, config_map({"a": "1"}))
    both = await apply(cluster, config_map({"a": "1"}), "two")
    assert [entry.get("time") for entry in both["metadata"]["managedFields"]] == [None, T0]
    assert both["metadata"]["resourceVersion"] > first["metadata"]["resourceVersion"]


async def test_dry_run(cluster: Cluster) -> None:
    """Shows the outcome with its owners, conflicts too, and stores nothing."""
    shown = await apply(cluster, config_map({"a": "1"}), dry_run=True)
    assert (shown["data"], owners(shown)) == ({"a": "1"}, {"one Apply": [".data.a"]})
    assert cluster.get("configmaps", "x") is None
    stored = await apply(cluster, config_map({"a": "1"}))
    assert (await refused(apply(cluster, config_map({"a": "2"}), "two", dry_run=True)))["code"] == 409
    assert (await apply(cluster, config_map({"a": "2"}), "two", dry_run=True, force=True))["data"] == {"a": "2"}
    assert cluster.get("configmaps", "x") == stored


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ({"metadata": {"name": "x"}}, 400, "invalid object type: /, Kind="),
        ({**config_map(), "kind": "Secret"}, 400, "invalid object type: /v1, Kind=Secret"),
        ({**config_map(), "apiVersion": "apps/v1"}, 400, "invalid object type: apps/v1, Kind=ConfigMap"),
        (config_map(managedFields=[]), 400, "metadata.managedFields must be nil"),
        (config_map(managedFields=[{"manager": "m"}]), 400, "metadata.managedFields must be nil"),
        (
            config_map(name="y"),
            400,
            "the name of the object (y) does not match the name on the URL (x)",
        ),
        (
            config_map(namespace="elsewhere"),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            {**config_map(), "dat": {}},
            500,
            "failed to create typed patch object (/x; /v1, Kind=ConfigMap): .dat: field not declared in schema",
        ),
        (
            config_map({"a": 1}, namespace="default"),
            500,
            "failed to create typed patch object (default/x; /v1, Kind=ConfigMap): "
            ".data.a: expected string, got &value.valueUnstructured{Value:1}",
        ),
        (
            config_map({"a": "2"}, resourceVersion="1"),
            409,
            'Operation cannot be fulfilled on configmaps "x": the object has been modified; '
            "please apply your changes to the latest version and try again",
        ),
        (config_map(uid="mine"), 422, 'ConfigMap "x" is invalid: metadata.uid: Invalid value: "mine": field is immutable'),
    ],
)  # fmt: skip
async def test_refusals(cluster: Cluster, content: JsonObject, code: int, message: str) -> None:
    """What cannot be applied changes nothing and says why."""
    await apply(cluster, config_map({"a": "1"}))
    before = cluster.store.revision
    status = await refused(cluster.patch("configmaps", "x", content, "apply", field_manager="one"))
    assert (status["code"], status["message"]) == (code, message)
    assert cluster.store.revision == before


async def test_refusals_of_creates(cluster: Cluster) -> None:
    """A new object has a name and no uid; a subresource needs its object; a list is no configuration."""
    unnamed = {"apiVersion": "v1", "kind": "ConfigMap"}
    status = await refused(cluster.patch("configmaps", "x", unnamed, "apply", field_manager="one"))
    why = "the name of the object (x based on URL) was undeterminable: name must be provided"
    assert (status["code"], status["message"]) == (400, why)
    status = await refused(apply(cluster, config_map(uid="u")))
    assert (status["code"], status["message"]) == (
        409,
        'Operation cannot be fulfilled on configmaps "x": uid mismatch: the provided object specified uid u, '
        "and no existing object was found",
    )
    assert (await refused(apply(cluster, pod(), sub="status")))["code"] == 404
    status = await refused(cluster.patch("configmaps", "x", [1], "apply", field_manager="one"))
    assert status["message"].startswith("error decoding YAML: ")


async def test_the_current_resource_version_is_fine(cluster: Cluster) -> None:
    """A stated resourceVersion is a precondition, and nobody's field."""
    first = await apply(cluster, config_map({"a": "1"}))
    stated = {key: first["metadata"][key] for key in ("resourceVersion", "uid", "namespace", "creationTimestamp")}
    after = await apply(cluster, config_map({"a": "2"}, **stated))
    assert owners(after) == {"one Apply": [".data.a"]}
    assert (await refused(apply(cluster, config_map({"a": "3"}, **stated))))["code"] == 409


async def test_elements_of_lists(cluster: Cluster) -> None:
    """Elements with keys have owners of their own; what one leaves out goes from it or with it."""
    await apply(cluster, service({"name": "a", "port": 80}, {"name": "b", "port": 81}, selector={"a": "b"}))
    await apply(cluster, service({"name": "c", "port": 82}, {"name": "a", "port": 80, "targetPort": 8080}), "two")
    after = await apply(cluster, service({"name": "d", "port": 83}, selector={"a": "b"}))
    assert [(port["name"], port["port"], port["targetPort"]) for port in after["spec"]["ports"]] == [
        ("c", 82, 82),
        ("a", 80, 8080),
        ("d", 83, 83),
    ]
    assert (await apply(cluster, service({"name": "d", "port": 83}), "two"))["spec"]["ports"] == [
        {"name": "d", "port": 83, "protocol": "TCP", "targetPort": 83}
    ]


async def test_ports_meet_by_port_and_protocol(cluster: Cluster) -> None:
    """The same number over two protocols is two ports; a protocol left out is TCP."""
    await apply(cluster, service({"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}))
    after = await apply(cluster, service({"name": "t", "port": 53, "protocol": "TCP", "targetPort": 5353}), "two")
    assert [(p["name"], p["protocol"], p["targetPort"]) for p in after["spec"]["ports"]] == [
        ("t", "TCP", 5353),
        ("u", "UDP", 53),
    ]
    port = '.spec.ports[port=53,protocol="TCP"]'
    assert owners(after)["two Apply"] == [
        port,
        *(f"{port}.{name}" for name in ("name", "port", "protocol", "targetPort")),
    ]


async def test_pods(cluster: Cluster) -> None:
    """Containers, environment and mounts by their keys; what is defaulted can be taken by an applier without conflict."""
    await apply(cluster, pod({"name": "c", "image": "busybox:1", "env": [{"name": "A", "value": "1"}]}, nodeName="n1"))
    changed = pod({"name": "c", "image": "busybox:2"}, terminationGracePeriodSeconds=30)
    status = await refused(apply(cluster, changed, "two"))
    assert [cause["field"] for cause in status["details"]["causes"]] == ['.spec.containers[name="c"].image']
    after = await apply(cluster, changed, "two", force=True)
    container = '.spec.containers[name="c"]'
    env = f'{container}.env[name="A"]'
    assert after["spec"]["containers"][0]["image"] == "busybox:2"
    assert owners(after) == {
        "one Apply": [".spec.nodeName", container, f"{container}.name", env, f"{env}.name", f"{env}.value"],
        "two Apply": [".spec.terminationGracePeriodSeconds", container, f"{container}.image", f"{container}.name"],
    }


async def test_an_atomic_list_has_one_owner(cluster: Cluster) -> None:
    """args, tolerations, a service's selector: one change takes the whole."""
    await apply(cluster, service({"port": 80}, selector={"a": "b"}))
    status = await refused(apply(cluster, service(selector={"c": "d"}), "two"))
    assert [cause["field"] for cause in status["details"]["causes"]] == [".spec.selector"]
    after = await apply(cluster, service(selector={"c": "d"}), "two", force=True)
    assert after["spec"]["selector"] == {"c": "d"}


async def test_status_and_spec_have_their_own_applies(cluster: Cluster) -> None:
    """The main resource owns no status and the status no spec, whatever they say; each apply keeps to its own."""
    await apply(cluster, {**pod({"name": "c", "image": "busybox:1"}, nodeName="n1"), "status": {"phase": "Failed"}})
    condition = {"type": "example.com/x", "status": "True"}
    status = {**pod({"name": "c", "image": "busybox:9"}), "status": {"conditions": [condition], "message": "m"}}
    after = await apply(cluster, status, sub="status")
    assert (after["status"]["phase"], after["spec"]["containers"][0]["image"]) == ("Pending", "busybox:1")
    key = '.status.conditions[type="example.com/x"]'
    assert owners(after) == {
        "one Apply": [".spec.nodeName", *(f'.spec.containers[name="c"]{n}' for n in ("", ".image", ".name"))],
        "one Apply/status": [".status.message", key, f"{key}.status", f"{key}.type"],
    }
    del status["status"]["message"]
    again = await apply(cluster, status, sub="status")
    assert "message" not in again["status"]
    node = await cluster.patch(
        "pods", "p", {"status": {"phase": "Running"}}, subresource="status", field_manager="agent"
    )
    assert owners(node)["agent Update/status"] == [".status.phase"]
    assert owners(node)["one Apply"] == owners(after)["one Apply"]


async def test_resize_and_ephemeral_containers(cluster: Cluster) -> None:
    """These subresources own what they can change and no more."""
    limits = {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}
    await apply(cluster, pod({"name": "c", "image": "busybox:1", "resources": limits}, nodeName="n1"))
    container = '.spec.containers[name="c"]'
    resized = {**pod({"name": "c", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}})}
    after = await cluster.patch("pods", "p", resized, subresource="resize", field_manager="scaler")
    cpus = [f"{container}.resources.limits.cpu", f"{container}.resources.requests.cpu"]
    assert owners(after)["scaler Update/resize"] == cpus
    assert not set(cpus) & set(owners(after)["one Apply"])
    debug = {"spec": {"ephemeralContainers": [{"name": "d", "image": "busybox:1"}]}}
    after = await cluster.patch("pods", "p", debug, subresource="ephemeralcontainers", field_manager="kubectl-debug")
    owned = owners(after)["kubectl-debug Update/ephemeralcontainers"]
    assert all(path.startswith(".spec.ephemeralContainers") for path in owned)


async def test_what_no_one_owns(cluster: Cluster) -> None:
    """Names, times, versions and kinds are in nobody's set."""
    created = await cluster.create(
        "secrets", {"metadata": {"name": "x", "finalizers": ["a.b/c"]}, "stringData": {"k": "v"}}
    )
    assert owners(created) == {
        "unknown Update": [".data", ".type", ".data.k", ".metadata.finalizers", '.metadata.finalizers[="a.b/c"]']
    }


async def test_admission_is_nobodys(cluster: Cluster) -> None:
    """Defaults are the author's, what admission adds (service account, tolerations, addresses) is not."""
    created = await cluster.create("pods", pod({"name": "c", "image": "busybox:1"}), field_manager="kubectl-run")
    container = '.spec.containers[name="c"]'
    assert owners(created) == {
        "kubectl-run Update": [
            ".spec.dnsPolicy",
            ".spec.enableServiceLinks",
            ".spec.restartPolicy",
            ".spec.schedulerName",
            ".spec.securityContext",
            ".spec.terminationGracePeriodSeconds",
            container,
            *(
                f"{container}.{name}"
                for name in (
                    "image",
                    "imagePullPolicy",
                    "name",
                    "resources",
                    "terminationMessagePath",
                    "terminationMessagePolicy",
                )
            ),
        ]
    }
    created = await cluster.create("services", service({"port": 80}))
    assert not [path for path in owners(created)["unknown Update"] if "clusterIP" in path or "ipFamil" in path]


async def test_clients_may_edit_the_entries(cluster: Cluster) -> None:
    """As kubectl does to hand its old applies over; nonsense and nothing leave what is there."""
    before = await apply(cluster, config_map({"a": "1"}))
    entry = before["metadata"]["managedFields"][0]
    renamed = [{"op": "replace", "path": "/metadata/managedFields", "value": [{**entry, "manager": "kubectl"}]}]
    after = await cluster.patch("configmaps", "x", renamed, "json")
    assert owners(after) == {"kubectl Apply": [".data.a"]}
    for nonsense in ([{**entry, "operation": "Patch"}], [{**entry, "fieldsType": "V9"}], None):
        current = cluster.get("configmaps", "x")
        current["metadata"]["managedFields"] = nonsense
        assert owners(await cluster.update("configmaps", current)) == {"kubectl Apply": [".data.a"]}
    too_long = [{**entry, "manager": "m" * 129}]
    status = await refused(
        cluster.update("configmaps", {**after, "metadata": {**after["metadata"], "managedFields": too_long}})
    )
    assert (status["code"], status["details"]["causes"][0]["field"]) == (422, "metadata.managedFields[0].manager")


@pytest.mark.parametrize("reset", [[], [{}]])
async def test_reset(cluster: Cluster, reset: list[Any]) -> None:
    """An empty list forgets all owners; from then on nobody is tracked until the next apply."""
    await apply(cluster, config_map({"a": "1"}))
    after = await cluster.patch("configmaps", "x", {"metadata": {"managedFields": reset}}, "merge")
    assert owners(after) == {}
    after = await cluster.patch("configmaps", "x", {"data": {"b": "1"}}, "merge")
    assert "managedFields" not in after["metadata"]
    status = await refused(apply(cluster, config_map({"a": "2"})))
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "before-first-apply" using v1', "field": ".data.a"}
    ]
    after = await apply(cluster, config_map({"a": "1"}))
    assert owners(after) == {
        "one Apply": [".data.a"],
        "before-first-apply Update": [".data", ".data.a", ".data.b"],
    }


async def test_entries_of_a_create(cluster: Cluster) -> None:
    """An object that is sent with its entries keeps them, beside its creator's."""
    first = await apply(cluster, config_map({"a": "1"}))
    copied = {**config_map({"a": "1", "b": "1"}, name="y"), "kind": "ConfigMap"}
    copied["metadata"]["managedFields"] = first["metadata"]["managedFields"]
    created = await cluster.create("configmaps", copied, field_manager="restore")
    assert owners(created) == {"restore Update": [".data", ".data.a", ".data.b"]}


async def test_a_status_does_not_carry_entries(cluster: Cluster) -> None:
    """What a subresource is sent with is not read."""
    await apply(cluster, pod({"name": "c", "image": "busybox:1"}, nodeName="n1"))
    content = {"metadata": {"managedFields": []}, "status": {"phase": "Running"}}
    after = await cluster.patch("pods", "p", content, "merge", subresource="status", field_manager="agent")
    assert set(owners(after)) == {"one Apply", "agent Update/status"}


async def test_kubectl_goes_on_where_its_old_apply_left_off(cluster: Cluster) -> None:
    """What client-side apply set is no conflict for the manager kubectl, and the annotation is kept in step; what somebody
    else changed since is one, and other managers have no such right."""
    old = config_map({"a": "1", "b": "1"})
    text = json.dumps(old)
    annotated = config_map({"a": "1", "b": "1"}, annotations={LAST_APPLIED: text})
    await cluster.create("configmaps", annotated, field_manager="kubectl-client-side-apply")
    assert (await refused(apply(cluster, config_map({"a": "2"}), "helm")))["code"] == 409
    after = await apply(cluster, config_map({"a": "2", "b": "1"}), "kubectl")
    assert after["data"] == {"a": "2", "b": "1"}
    assert after["metadata"]["annotations"] == {
        LAST_APPLIED: '{"apiVersion":"v1","data":{"a":"2","b":"1"},"kind":"ConfigMap","metadata":{"name":"x"}}\n'
    }
    await cluster.patch("configmaps", "x", {"data": {"a": "3"}}, "merge", field_manager="kubectl-edit")
    status = await refused(apply(cluster, config_map({"a": "4", "b": "2"}), "kubectl"))
    assert [cause["message"] for cause in status["details"]["causes"]] == ['conflict with "kubectl-edit" using v1']


async def test_both_forms_of_events(cluster: Cluster) -> None:
    """An owner in one form loses what the other form changes, under the names of its own."""
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "message": "hello",
        "count": 1,
    }
    await cluster.create("events", event, field_manager="core")
    after = await cluster.patch("events.events.k8s.io", "e", {"note": "again"}, "merge", field_manager="new")
    entries = {
        entry["manager"]: (entry["apiVersion"], entry["fieldsV1"]) for entry in after["metadata"]["managedFields"]
    }
    assert entries["new"] == ("events.k8s.io/v1", {"f:note": {}})
    assert entries["core"][0] == "v1"
    assert "f:message" not in entries["core"][1]
    config = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "deprecatedCount": 2}
    status = await refused(cluster.patch("events.events.k8s.io", "e", config, "apply", field_manager="three"))
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "core" using v1', "field": ".count"}
    ]


async def test_a_version_that_is_not_served_is_forgotten(cluster: Cluster) -> None:
    """Entries of a form that this server does not know end with the next write."""
    before = await apply(cluster, config_map({"a": "1"}))
    entry = {**before["metadata"]["managedFields"][0], "apiVersion": "v9", "manager": "future"}
    entries = [*before["metadata"]["managedFields"], entry]
    content = {"data": {"b": "1"}, "metadata": {"managedFields": entries}}
    after = await cluster.patch("configmaps", "x", content, "merge")
    assert set(owners(after)) == {"one Apply", "unknown Update"}


async def test_a_null_is_a_wish(cluster: Cluster) -> None:
    """A field applied as null is taken out, of others by force only."""
    await apply(cluster, {**config_map({"a": "1"}), "immutable": False})
    without: JsonObject = {**config_map(), "immutable": None}
    assert (await refused(apply(cluster, without, "two")))["code"] == 409
    after = await apply(cluster, without, "two", force=True)
    assert "immutable" not in after
    # as any null of a map: the zero of its values
    assert (await apply(cluster, config_map({"a": None}), "two", force=True))["data"] == {"a": ""}


async def test_keys_that_come_twice(cluster: Cluster) -> None:
    """An error for strict clients, a warning for others."""
    lines = ('line 4: key "a" already set in map',)
    text = 'error converting YAML to JSON: yaml: unmarshal errors:\n  line 4: key "a" already set in map'
    status = await refused(apply(cluster, config_map({"a": "1"}), duplicates=lines, field_validation="Strict"))
    assert (status["code"], status["message"]) == (400, f"error strict decoding YAML: {text}")
    answer = await cluster.objects.patch(
        cluster.objects.kind("configmaps"),
        "default",
        "x",
        change(config_map({"a": "1"})),
        write_options(field_manager="one", duplicates=lines),
        cluster.user,
    )
    assert (answer.code, answer.warnings) == (201, (text,))


async def test_a_fault_of_the_tracking_is_not_the_clients(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The write goes on with the owners there were; the fault is logged."""
    before = await apply(cluster, config_map({"a": "1"}))

    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr("nodeagent.apiserver.apply.updating.update", broken)
    after = await cluster.patch("configmaps", "x", {"data": {"a": "2"}}, "merge")
    assert after["data"] == {"a": "2"}
    assert after["metadata"]["managedFields"] == before["metadata"]["managedFields"]
    assert "cannot tell who owns the fields of a ConfigMap" in caplog.text
    created = await cluster.create("configmaps", config_map({"a": "1"}, name="y"))
    assert "managedFields" not in created["metadata"]


async def test_nodes_and_the_writes_of_their_agent(cluster: Cluster) -> None:
    """Labels of two managers, taints of one, a status of the agent: each is left alone by the others."""
    await cluster.create("nodes", {"metadata": {"name": "n1", "labels": {"a": "agent"}}}, field_manager="nodeagent")
    await cluster.patch(
        "nodes", "n1", {"status": {"capacity": {"cpu": "2"}}}, subresource="status", field_manager="nodeagent"
    )
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"b": "mine"}}}
    after = await apply(cluster, node)
    assert after["metadata"]["labels"] == {"a": "agent", "b": "mine"}
    assert owners(after)["one Apply"] == [".metadata.labels.b"]
    status = await refused(
        apply(cluster, {**node, "spec": {"taints": []}, "metadata": {"name": "n1", "labels": {"a": "x"}}})
    )
    assert [cause["field"] for cause in status["details"]["causes"]] == [".metadata.labels.a"]
    gone = await apply(cluster, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    assert (gone["metadata"]["labels"], gone["status"]["capacity"]) == ({"a": "agent"}, {"cpu": "2"})


SMALLEST: dict[str, JsonObject] = {
    "ConfigMap": {"data": {"k": "v"}},
    "Secret": {"data": {"k": "dg=="}},
    "ServiceAccount": {"automountServiceAccountToken": False},
    "PersistentVolumeClaim": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    "PersistentVolume": {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    },
    "Endpoints": {"subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 80}]}]},
    "EndpointSlice": {"addressType": "IPv4", "endpoints": [{"addresses": ["1.2.3.4"]}], "ports": [{"port": 80}]},
    "Lease": {"spec": {"holderIdentity": "me"}},
    "Namespace": {},
    "Node": {"spec": {"unschedulable": True}},
    "RuntimeClass": {"handler": "runc"},
    "PriorityClass": {"value": 7},
    "StorageClass": {"provisioner": "example.com/p"},
    "CSIDriver": {"spec": {"attachRequired": False}},
    "CSINode": {"spec": {"drivers": [{"name": "d", "nodeID": "n"}]}},
    "Service": {"spec": {"ports": [{"port": 80}]}},
    "Pod": {"spec": {"containers": [{"name": "c", "image": "busybox:1"}]}},
}


@pytest.mark.parametrize("kind", SMALLEST)
async def test_every_kind(cluster: Cluster, kind: str) -> None:
    """Made, changed, taken over and left by applies."""
    resource = next(r for r in RESOURCES if r.kind == kind and not r.view)
    base = {"apiVersion": resource.group_version, "kind": kind}
    content = {**base, "metadata": {"name": "z", "labels": {"l": "1"}, "annotations": {"a": "1"}}, **SMALLEST[kind]}

    async def send(what: JsonObject, manager: str, **options: Any) -> JsonObject:
        sent: JsonObject = await cluster.patch(resource.id, "z", what, "apply", field_manager=manager, **options)
        return sent

    made = await send(content, "one")
    assert await send(content, "one") == made
    assert list(owners(made)) == ["one Apply"]
    other = {**base, "metadata": {"name": "z", "labels": {"l": "2", "m": "2"}}}
    status = await refused(send(other, "two"))
    assert [cause["field"] for cause in status["details"]["causes"]] == [".metadata.labels.l"]
    forced = await send(other, "two", force=True)
    assert owners(forced)["two Apply"] == [".metadata.labels.l", ".metadata.labels.m"]
    assert {k: v for k, v in forced.items() if k != "metadata"} == {k: v for k, v in made.items() if k != "metadata"}
    left = await send({**base, "metadata": {"name": "z"}}, "two")
    assert not {"l", "m"} & set(left["metadata"].get("labels") or {})
    assert list(owners(left)) == ["one Apply"]
