"""The fields that a pod gets when its author left them out."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.podspec.defaults import default_pod, default_spec, pull_policy
from nodeagent.podspec.validation.pod import validate_create


def test_smallest_pod(new_pod: Any) -> None:
    """Everything that a pod of one container is given, and nothing else."""
    pod = new_pod()
    default_pod(pod)
    assert pod["spec"] == {
        "containers": [
            {
                "name": "c",
                "image": "busybox:1",
                "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "resources": {},
            }
        ],
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.2", "IfNotPresent"),
        ("reg:5000/nginx", "Always"),
        ("reg:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
        ("nginx:latest@sha256:abc", "IfNotPresent"),
    ],
)
def test_pull_policy(image: str, policy: str) -> None:
    """Always for the tag latest or none, unless there is a digest."""
    assert pull_policy(image) == policy


PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ({"ports": [{"containerPort": 80}]}, {"ports": [{"containerPort": 80, "protocol": "TCP"}]}),
        (
            {"livenessProbe": {"httpGet": {"port": 80}, "timeoutSeconds": 5}},
            {"livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, **PROBE, "timeoutSeconds": 5}},
        ),
        ({"readinessProbe": {"grpc": {"port": 1}}}, {"readinessProbe": {"grpc": {"port": 1, "service": ""}, **PROBE}}),
        ({"startupProbe": {"exec": {"command": ["x"]}}}, {"startupProbe": {"exec": {"command": ["x"]}, **PROBE}}),
        (
            {"lifecycle": {"preStop": {"httpGet": {"port": 1}}}},
            {"lifecycle": {"preStop": {"httpGet": {"port": 1, "path": "/", "scheme": "HTTP"}}}},
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}}]},
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]},
            {"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}}]},
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}}]},
            {
                "env": [
                    {
                        "name": "A",
                        "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k", "optional": False}},
                    }
                ]
            },
        ),
        (
            {"resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}, "requests": {"cpu": 0.1}}},
            {"resources": {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "1Gi"}}},
        ),
        ({"resources": {"requests": {"cpu": "0.0001"}}}, {"resources": {"requests": {"cpu": "1m"}}}),
    ],
)
def test_containers(written: Any, stored: Any, new_pod: Any) -> None:
    """Ports, probes, hooks, references and resources of a container."""
    pod = new_pod()
    pod["spec"]["containers"][0].update(written)
    default_pod(pod)
    container = pod["spec"]["containers"][0]
    assert {name: container[name] for name in written} == stored


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ({}, {"emptyDir": {}}),
        ({"emptyDir": {"sizeLimit": "1024Ki"}}, {"emptyDir": {"sizeLimit": "1Mi"}}),
        ({"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}),
        ({"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}),
        ({"configMap": {"name": "s", "defaultMode": 0}}, {"configMap": {"name": "s", "defaultMode": 0}}),
        (
            {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {
                "downwardAPI": {
                    "items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}],
                    "defaultMode": 420,
                }
            },
        ),
        (
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "projected": {
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                    "defaultMode": 420,
                }
            },
        ),
        ({"image": {"reference": "a"}}, {"image": {"reference": "a", "pullPolicy": "Always"}}),
        (
            {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            {"ephemeral": {"volumeClaimTemplate": {"spec": {"volumeMode": "Filesystem"}}}},
        ),
        ({"iscsi": {"lun": 0}}, {"iscsi": {"lun": 0, "iscsiInterface": "default"}}),
        ({"rbd": {}}, {"rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}}),
        (
            {"azureDisk": {"diskName": "d"}},
            {
                "azureDisk": {
                    "diskName": "d",
                    "cachingMode": "ReadWrite",
                    "fsType": "ext4",
                    "readOnly": False,
                    "kind": "Shared",
                }
            },
        ),
        ({"scaleIO": {}}, {"scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"}}),
    ],
)
def test_volumes(written: Any, stored: Any, new_pod: Any) -> None:
    """Each volume source has its own defaults; a volume without one is an emptyDir."""
    pod = new_pod(volumes=[{"name": "v", **written}])
    default_pod(pod)
    assert pod["spec"]["volumes"] == [{"name": "v", **stored}]


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ({"terminationGracePeriodSeconds": -3}, {"terminationGracePeriodSeconds": 1}),
        ({"terminationGracePeriodSeconds": 0}, {"terminationGracePeriodSeconds": 0}),
        ({"serviceAccountName": "a"}, {"serviceAccountName": "a", "serviceAccount": "a"}),
        ({"serviceAccount": "a"}, {"serviceAccountName": "a", "serviceAccount": "a"}),
        ({"hostNetwork": False, "hostPID": False}, {}),
        ({"enableServiceLinks": False}, {"enableServiceLinks": False}),
        ({"overhead": {"cpu": "0.25"}}, {"overhead": {"cpu": "250m"}}),
        (
            {"resources": {"limits": {"cpu": "2", "memory": "2048Mi"}}},
            {"resources": {"limits": {"cpu": "2", "memory": "2Gi"}, "requests": {"cpu": "2", "memory": "2Gi"}}},
        ),
    ],
)
def test_spec(written: Any, stored: Any, new_pod: Any) -> None:
    """Fields of the pod itself."""
    pod = new_pod(**written)
    default_pod(pod)
    names = {*written, *stored}
    assert {name: pod["spec"][name] for name in names if name in pod["spec"]} == stored


def test_pod_level_requests_from_containers(new_pod: Any) -> None:
    """A pod-level request that is not stated is what the containers ask together, before the limit is looked at."""
    pod = new_pod(resources={"limits": {"cpu": "2", "memory": "1Gi"}})
    pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "300m"}}
    pod["spec"]["initContainers"] = [
        {"name": "s", "image": "x:1", "restartPolicy": "Always", "resources": {"requests": {"cpu": "200m"}}}
    ]
    default_pod(pod)
    assert pod["spec"]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}


def test_host_network_ports(new_pod: Any) -> None:
    """In the host's network the host port is the container port."""
    pod = new_pod(hostNetwork=True)
    pod["spec"]["containers"][0]["ports"] = [{"containerPort": 80}]
    default_pod(pod)
    assert pod["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]


def test_ephemeral_containers_get_no_requests(new_pod: Any) -> None:
    """A limit of a debug container asks nothing of the node."""
    pod = new_pod(ephemeralContainers=[{"name": "d", "image": "x", "resources": {"limits": {"cpu": "1"}}}])
    default_pod(pod)
    assert pod["spec"]["ephemeralContainers"][0]["resources"] == {"limits": {"cpu": "1"}}


AMOUNTS = st.sampled_from(["1", "0.5", "100m", "1Gi", "1024Mi"])
CONTAINERS = st.fixed_dictionaries(
    {"image": st.sampled_from(["a", "a:1", "a@sha256:b"])},
    optional={
        "imagePullPolicy": st.sampled_from(["Always", "Never"]),
        "resources": st.fixed_dictionaries(
            {"limits": st.dictionaries(st.sampled_from(["cpu", "memory", "ephemeral-storage"]), AMOUNTS)}
        ),
        "ports": st.lists(
            st.fixed_dictionaries({"containerPort": st.integers(1, 65535)}, optional={"protocol": st.just("UDP")}),
            max_size=2,
        ),
        "livenessProbe": st.fixed_dictionaries(
            {"httpGet": st.fixed_dictionaries({"port": st.integers(1, 65535)})},
            optional={"timeoutSeconds": st.integers(0, 5)},
        ),
        "env": st.lists(
            st.just({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}) | st.just({"name": "B"}),
            max_size=2,
        ),
    },
)
VOLUMES = st.sampled_from(
    [{}, {"emptyDir": {}}, {"hostPath": {"path": "/x"}}, {"secret": {"secretName": "s"}}, {"configMap": {"name": "c"}}]
)


@st.composite
def pods(draw: Any) -> Any:
    spec = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "restartPolicy": st.sampled_from(["Always", "Never", "OnFailure"]),
                "terminationGracePeriodSeconds": st.integers(-2, 100),
                "hostNetwork": st.booleans(),
                "serviceAccountName": st.just("a"),
            },
        )
    )
    for name, least in (("containers", 1), ("initContainers", 0)):
        listed = draw(st.lists(CONTAINERS, min_size=least, max_size=3))
        spec[name] = [{"name": f"{name[0]}{index}", **copy.deepcopy(item)} for index, item in enumerate(listed)]
        if name == "initContainers":
            for item in spec[name]:
                item.pop("livenessProbe", None)
    spec["volumes"] = [{"name": f"v{i}", **copy.deepcopy(v)} for i, v in enumerate(draw(st.lists(VOLUMES, max_size=3)))]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": spec}


@settings(max_examples=200)
@given(pods())
def test_defaulting_is_idempotent_and_valid(pod: Any) -> None:
    """Defaults change nothing the second time, keep what was stated, and leave a valid pod valid."""
    stated = copy.deepcopy(pod["spec"])
    default_spec(pod["spec"])
    once = copy.deepcopy(pod)
    default_spec(pod["spec"])
    assert pod == once
    assert pod["spec"]["restartPolicy"] == stated.get("restartPolicy", "Always")
    errors = [e for e in validate_create(pod) if e.type.name != "DUPLICATE"]  # drawn host ports may repeat
    assert errors == []
