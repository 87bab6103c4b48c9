"""A value that says nothing may be written out or left out, by any verb, for every kind: it is never a change."""

import copy
import json
from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.registry.builtin import RESOURCES
from nodeagent.apitypes.decode import decode, zero_of
from nodeagent.apitypes.schema import ListOf, MapOf, Scalar, Struct, Type, struct_for
from runtimes.kube.json_object import JsonObject

Cluster = Any

POD: JsonObject = {
    "metadata": {"name": "x", "labels": {"a": "b"}},
    "spec": {
        "nodeName": "n1",
        "volumes": [
            {"name": "e", "emptyDir": {}},
            {"name": "h", "hostPath": {"path": "/tmp"}},
            {"name": "p", "projected": {"sources": [{"configMap": {"name": "c"}}, {"downwardAPI": {"items": [
                {"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}},
            {"name": "t", "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}},
        ],
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}]}},
        "containers": [
            {
                "name": "c",
                "image": "busybox:1",
                "ports": [{"containerPort": 80}],
                "env": [{"name": "A"}, {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
                "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}},
                "volumeMounts": [{"name": "e", "mountPath": "/e"}],
                "readinessProbe": {"httpGet": {"port": "http"}},
                "lifecycle": {"preStop": {"exec": {"command": ["x"]}}},
                "securityContext": {"capabilities": {}},
            }
        ],
        "initContainers": [{"name": "i", "image": "busybox"}],
    },
}  # fmt: skip
REQUESTS: list[JsonObject] = [
    {
        "name": "r",
        "exactly": {
            "deviceClassName": "gpu",
            "capacity": {"requests": {"memory": "1024Mi"}},
            "tolerations": [{"key": "k"}],
            "selectors": [{"cel": {"expression": "true"}}],
        },
    },
    {"name": "s", "firstAvailable": [{"name": "a", "deviceClassName": "gpu", "allocationMode": "All"}]},
]
OBJECTS: dict[str, JsonObject] = {
    "deviceclasses.resource.k8s.io": {"spec": {"selectors": [{"cel": {"expression": "true"}}]}},
    "resourceclaims.resource.k8s.io": {"spec": {"devices": {"requests": REQUESTS}}},
    "resourceclaimtemplates.resource.k8s.io": {"spec": {"spec": {"devices": {"requests": REQUESTS}}}},
    "resourceslices.resource.k8s.io": {
        "spec": {
            "driver": "x.org",
            "nodeName": "n",
            "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
            "devices": [
                {
                    "name": "d",
                    "attributes": {"a": {"int": 0}, "b": {"bool": False}},
                    "capacity": {"memory": {"value": "1024Mi"}},
                    "taints": [{"key": "k", "effect": "NoSchedule"}],
                }
            ],
        }
    },
    "pods": POD,
    "configmaps": {"data": {"a": ""}},
    "secrets": {"data": {"a": "YQ=="}},
    "services": {"spec": {"clusterIP": "None", "ports": [{"port": 80}], "selector": {"a": "b"}}},
    "endpoints": {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]},
    "serviceaccounts": {"imagePullSecrets": [{"name": "s"}]},
    "namespaces": {},
    "nodes": {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}},
    "events": {"involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "R", "type": "Normal"},
    "poddisruptionbudgets.policy": {"spec": {"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}}},
    "persistentvolumes": {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    },
    "persistentvolumeclaims": {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "",
        }
    },
    "leases.coordination.k8s.io": {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 40}},
    "endpointslices.discovery.k8s.io": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]},
    "runtimeclasses.node.k8s.io": {"handler": "runc", "scheduling": {"nodeSelector": {"a": "b"}}},
    "priorityclasses.scheduling.k8s.io": {"value": 5},
    "csidrivers.storage.k8s.io": {"spec": {"tokenRequests": [{"audience": "a"}]}},
    "csinodes.storage.k8s.io": {"spec": {"drivers": [{"name": "d", "nodeID": "n"}]}},
    "storageclasses.storage.k8s.io": {"provisioner": "p"},
    "volumeattachments.storage.k8s.io": {
        "spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    },
    "volumeattributesclasses.storage.k8s.io": {"driverName": "d", "parameters": {"a": "b"}},
}


def written_out(kind: Struct, value: JsonObject) -> JsonObject:
    """`value` with every field added that would say nothing: zeros of what is no pointer, null for what is one."""
    found: JsonObject = {}
    for field in kind.fields.values():
        if field.name in value:
            found[field.name] = _inside(field.type, value[field.name])
        elif field.name in ("kind", "apiVersion"):
            continue
        elif field.pointer:
            found[field.name] = None
        else:
            zero = zero_of(field.type)()
            found[field.name] = written_out(field.type, {}) if isinstance(field.type, Struct) else zero
    return found


def _inside(kind: Type, value: Any) -> Any:
    match kind:
        case Struct() if isinstance(value, dict):
            return written_out(kind, value)
        case ListOf() if isinstance(value, list):
            return [_inside(kind.item, item) for item in value]
        case MapOf() | ListOf() | Scalar() | Struct():
            return value


async def create(cluster: Cluster, resource: str) -> JsonObject:
    body = {"metadata": {"name": "x"}, **copy.deepcopy(OBJECTS[resource])}
    made: JsonObject = await cluster.create(resource, body)
    return made


def kind_of(cluster: Cluster, resource: str) -> Struct:
    found = cluster.objects.kind(resource)
    kind = struct_for(found.group_version, found.kind)
    assert kind is not None
    return kind


def without_identity(obj: JsonObject) -> JsonObject:
    """As if it were called x, and of no time."""
    volatile = ("uid", "resourceVersion", "creationTimestamp")
    renamed: JsonObject = json.loads(json.dumps(obj).replace('"y"', '"x"'))
    return {**renamed, "metadata": {k: v for k, v in renamed["metadata"].items() if k not in volatile}}


def test_every_stored_kind_is_here() -> None:
    """A kind without an object below would not be tested."""
    stored = {r.id for r in RESOURCES if r.stored and r.view is None}
    # certificates need a real request; what is said of them is said by the others
    assert {name for name in stored - OBJECTS.keys() if not name.endswith(".certificates.k8s.io")} == set()


@pytest.mark.parametrize("resource", OBJECTS)
async def test_created_with_it_or_without(cluster: Cluster, resource: str) -> None:
    """The same object comes of both."""
    plain = await create(cluster, resource)
    body = {**copy.deepcopy(OBJECTS[resource])}
    body["metadata"] = {**body.get("metadata", {}), "name": "y"}
    out = await cluster.create(resource, written_out(kind_of(cluster, resource), body))
    assert without_identity(out) == without_identity(plain)


@pytest.mark.parametrize("resource", OBJECTS)
async def test_updated_with_it_or_without(cluster: Cluster, resource: str) -> None:
    """A PUT that writes it out, a PUT that leaves it out, and patches that write it out change nothing at all."""
    kind = kind_of(cluster, resource)
    made = await create(cluster, resource)
    revision = cluster.store.revision
    out, bare = written_out(kind, made), decode(kind, made).value
    assert await cluster.update(resource, out) == made
    assert await cluster.update(resource, bare) == made
    for patch_type in ("strategic", "merge"):
        assert await cluster.patch(resource, "x", out, patch_type) == made
    operations = [{"op": "add", "path": f"/metadata/{name}", "value": {}} for name in ("labels", "annotations")]
    if not made["metadata"].get("labels"):
        assert await cluster.patch(resource, "x", operations, "json") == made
    if cluster.objects.kind(resource).has_status:
        assert await cluster.update(resource, out, "status") == made
        assert await cluster.patch(resource, "x", {"status": out.get("status") or {}}, "strategic", "status") == made
    assert cluster.store.revision == revision


@pytest.mark.parametrize("resource", OBJECTS)
async def test_a_label_alone(cluster: Cluster, resource: str) -> None:
    """A typed client's PUT, which leaves out what says nothing, changes the label that it adds and no more."""
    made = await create(cluster, resource)
    bare = decode(kind_of(cluster, resource), made).value
    labels = {**bare["metadata"].get("labels", {}), "new": "y"}
    updated = await cluster.update(resource, {**bare, "metadata": {**bare["metadata"], "labels": labels}})
    made["metadata"]["labels"] = labels
    for name in ("resourceVersion", "managedFields"):
        made["metadata"][name] = updated["metadata"][name]
    assert updated == made


@pytest.mark.parametrize(
    ("path", "value", "changes"),
    [
        (("readinessProbe", "initialDelaySeconds"), 0, False),
        (("readinessProbe", "terminationGracePeriodSeconds"), 0, True),
        (("args",), [], False),
        (("workingDir",), "", False),
        (("stdin",), False, False),
        (("securityContext", "privileged"), False, True),
        (("securityContext", "runAsUser"), 0, True),
        (("securityContext", "capabilities", "drop"), [], False),
        (("resources", "claims"), [], False),
        (("lifecycle", "postStart"), {}, True),
        (("restartPolicy",), "", True),
        (("envFrom",), None, False),
    ],
)
async def test_pointers_say_something(cluster: Cluster, path: tuple[str, ...], value: Any, changes: bool) -> None:
    """In a running pod's container, an explicit zero of a pointer is a change, which is forbidden; any other is none."""
    made = await create(cluster, "pods")
    target = made["spec"]["containers"][0]
    for step in path[:-1]:
        target = target[step]
    assert path[-1] not in target
    target[path[-1]] = value
    if changes:
        with pytest.raises(ApiError) as refused:
            await cluster.update("pods", made)
        assert refused.value.code == 422
    else:
        revision = cluster.store.revision
        await cluster.update("pods", made)
        assert cluster.store.revision == revision


async def test_an_older_release_stored_it_otherwise(cluster: Cluster) -> None:
    """Objects stored before there was one written form are changed like any other, and get it with their first change."""
    made = await create(cluster, "pods")
    found = cluster.objects.kind("pods")
    old = decode(kind_of(cluster, "pods"), made).value
    old["spec"]["hostNetwork"] = False
    old["spec"]["containers"][0]["args"] = []
    old["kind"], old["apiVersion"] = "Pod", "v1"
    key = cluster.store.head(found.storage, ("default", "x")).key
    await cluster.store.put(found.storage, key, old).durable()
    updated = await cluster.patch("pods", "x", {"metadata": {"labels": {"new": "y"}}})
    made["metadata"] |= {
        "labels": {"a": "b", "new": "y"},
        "resourceVersion": updated["metadata"]["resourceVersion"],
        "managedFields": updated["metadata"]["managedFields"],
    }
    assert updated == made
