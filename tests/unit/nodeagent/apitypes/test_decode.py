"""How a JSON body is read as one of the API's types."""

from typing import Any

import pytest

from nodeagent.apitypes.decode import decode, reread
from nodeagent.apitypes.scalars import Mismatch, Number, Refused
from nodeagent.apitypes.schema import struct

POD = struct("core.v1.Pod")
QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def error_of(name: str, body: Any) -> str | None:
    try:
        decode(struct(name), body)
    except (Mismatch, Refused) as error:
        return str(error)
    return None


def test_unknown_fields_have_paths_and_go() -> None:
    """Every unknown field is named with its full path, in the order of the body, and left out; known ones are neither."""
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "foo": 1,
        "Metadata": {},
        "metadata": {"name": "x", "labels": {"any.io/thing": "x"}, "bar": None, "a.b/c": 1},
        "spec": {
            "containers": [{"name": "a"}, {"name": "b", "imagee": "x", "ports": [{"port": 1}]}],
            "volumes": [{"name": "v", "emptyDir": {"size": "1"}}],
            "nodeSelector": {"free": "form"},
        },
    }
    assert decode(POD, body) == (
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "x", "labels": {"any.io/thing": "x"}},
            "spec": {
                "containers": [{"name": "a"}, {"name": "b", "ports": [{}]}],
                "volumes": [{"name": "v", "emptyDir": {}}],
                "nodeSelector": {"free": "form"},
            },
        },
        [
            "foo",
            "Metadata",
            "metadata.bar",
            "metadata.a.b/c",
            "spec.containers[1].imagee",
            "spec.containers[1].ports[0].port",
            "spec.volumes[0].emptyDir.size",
        ],
    )


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (
            {"activeDeadlineSeconds": "x"},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.activeDeadlineSeconds of type int64",
        ),
        (
            {"hostNetwork": "yes"},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
        ),
        ({"hostUsers": 1}, "json: cannot unmarshal number into Go struct field PodSpec.spec.hostUsers of type bool"),
        (
            {"containers": {}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            {"containers": [{"ports": [{"containerPort": 1.5}]}]},
            "json: cannot unmarshal number 1.5 into Go struct field "
            "ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (
            {"priority": Number("1.0")},
            "json: cannot unmarshal number 1.0 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            {"priority": Number("1e3")},
            "json: cannot unmarshal number 1e3 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            {"priority": 2**31},
            "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            {"activeDeadlineSeconds": 2**63},
            "json: cannot unmarshal number 9223372036854775808 into Go struct field "
            "PodSpec.spec.activeDeadlineSeconds of type int64",
        ),
        (
            {"activeDeadlineSeconds": True},
            "json: cannot unmarshal bool into Go struct field PodSpec.spec.activeDeadlineSeconds of type int64",
        ),
        (
            {"nodeSelector": {"a": 1}},
            "json: cannot unmarshal number into Go struct field PodSpec.spec.nodeSelector of type string",
        ),
        (
            {"nodeSelector": {"a": 1.5}},
            "json: cannot unmarshal number into Go struct field PodSpec.spec.nodeSelector of type string",
        ),
        (
            {"nodeSelector": []},
            "json: cannot unmarshal array into Go struct field PodSpec.spec.nodeSelector of type map[string]string",
        ),
        (
            {"nodeName": {}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.nodeName of type string",
        ),
        (
            {"restartPolicy": 1},
            "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
        ),
        (
            {"containers": ["x"]},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type v1.Container",
        ),
        (
            {"containers": [{"args": [1]}]},
            "json: cannot unmarshal number into Go struct field Container.spec.containers.args of type string",
        ),
        (
            {"containers": [{"resources": {"limits": []}}]},
            "json: cannot unmarshal array into Go struct field "
            "ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList",
        ),
        (
            {"containers": [{"livenessProbe": {"httpGet": {"port": True}}}]},
            "json: cannot unmarshal bool into Go struct field HTTPGetAction.spec.containers.livenessProbe.httpGet.port"
            " of type int32",
        ),
        ({"containers": [{"resources": {"limits": {"cpu": "1q"}}}]}, QUANTITY),
        ({"containers": [{"resources": {"limits": {"cpu": True}}}]}, QUANTITY),
        ({"containers": [{"resources": {"limits": {"cpu": {}}}}]}, QUANTITY),
        ({"volumes": [{"emptyDir": {"sizeLimit": "many"}}]}, QUANTITY),
        ({"containers": [{"resources": {"limits": {"cpu": 1, "memory": 1e6}}}]}, None),
        ({"containers": [{"livenessProbe": {"httpGet": {"port": "http"}}}], "volumes": None}, None),
        ({"containers": [{"livenessProbe": {"httpGet": {"port": 80}}}]}, None),
        ({"containers": [None]}, None),
        (
            "x",
            "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec",
        ),
    ],
)
def test_type_errors(spec: Any, error: str | None) -> None:
    """A value of a wrong type is told as Go's decoder tells it: the innermost struct, the path from the root, and Go's type."""
    assert error_of("core.v1.Pod", {"spec": spec}) == error


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"spec": {"activeDeadlineSeconds": "x"}}, "unrecognized type: int64"),
        ({"spec": {"priority": True}}, "unrecognized type: int32"),
        ({"spec": {"priority": 1.5}}, "cannot convert float64 to int32"),
        ({"spec": {"hostNetwork": "yes"}}, "unrecognized type: bool"),
        ({"spec": {"hostNetwork": 1}}, "unrecognized type: bool"),
        ({"metadata": {"labels": {"a": 1}}}, "cannot convert int64 to string"),
        ({"metadata": {"labels": {"a": 1.5}}}, "unrecognized type: string"),
        ({"metadata": {"labels": {"a": True}}}, "unrecognized type: string"),
        ({"metadata": {"labels": {"a": {}}}}, "unrecognized type: string"),
        ({"metadata": {"labels": "x"}}, "cannot restore map from string"),
        ({"spec": {"restartPolicy": 1}}, "cannot convert int64 to v1.RestartPolicy"),
        ({"spec": {"containers": {}}}, "cannot restore slice from map"),
        ({"spec": {"containers": [1]}}, "cannot restore struct from: int64"),
        ({"spec": ["x"]}, "cannot restore struct from: slice"),
        ({"spec": {"overhead": {"cpu": "x"}}}, QUANTITY),
        ({"metadata": {"deletionTimestamp": 1}}, "json: cannot unmarshal number into Go value of type string"),
        (
            {"spec": {"containers": [{"livenessProbe": {"tcpSocket": {"port": True}}}]}},
            "json: cannot unmarshal bool into Go value of type int32",
        ),
    ],
)
def test_type_errors_of_strategic_patches(body: Any, error: str) -> None:
    """Go reads the result of a strategic merge patch with another decoder, which has words of its own."""
    with pytest.raises((Mismatch, Refused)) as caught:
        decode(POD, body)
    assert caught.value.restoring == error  # type: ignore[union-attr]


def test_a_body_that_is_no_object() -> None:
    """It has no field to name."""
    assert error_of("core.v1.Pod", []) == "json: cannot unmarshal array into Go value of type v1.Pod"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        # no pointer: the zero value says nothing
        ({"hostNetwork": False, "nodeName": "", "nodeSelector": {}, "tolerations": [], "volumes": None}, {}),
        ({"hostNetwork": None, "restartPolicy": None, "containers": []}, {}),
        # pointers: it says something
        (
            {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "priority": 0,
                "hostUsers": False,
            },
            {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "priority": 0,
                "hostUsers": False,
            },
        ),
        ({"runtimeClassName": "", "preemptionPolicy": ""}, {"runtimeClassName": "", "preemptionPolicy": ""}),
        ({"securityContext": {}, "affinity": {}, "os": {}}, {"securityContext": {}, "affinity": {}, "os": {}}),
        ({"securityContext": None, "priority": None}, {}),
        # elements of lists and values of maps stay
        ({"nodeSelector": {"a": None, "b": ""}}, {"nodeSelector": {"a": "", "b": ""}}),
        ({"tolerations": [None, {}]}, {"tolerations": [{}, {}]}),
        ({"overhead": {"cpu": None, "memory": "1024Mi"}}, {"overhead": {"cpu": "0", "memory": "1Gi"}}),
        ({"securityContext": {"supplementalGroups": [None, 5]}}, {"securityContext": {"supplementalGroups": [0, 5]}}),
    ],
)
def test_what_of_a_pod_spec_says_something(spec: Any, expected: Any) -> None:
    """Null and the zero value of a field that is no pointer are as good as nothing; all else is kept."""
    assert decode(POD, {"spec": spec}).value.get("spec", {}) == expected


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"args": [], "command": [""], "workingDir": "", "tty": False}, {"command": [""]}),
        ({"env": [{"name": "A", "value": ""}, None]}, {"env": [{"name": "A"}, {}]}),
        ({"args": [None, "x"]}, {"args": ["", "x"]}),
        (
            {"readinessProbe": {"initialDelaySeconds": 0, "exec": {"command": []}}},
            {"readinessProbe": {"exec": {}}},
        ),
        (
            {"livenessProbe": {"terminationGracePeriodSeconds": 0}},
            {"livenessProbe": {"terminationGracePeriodSeconds": 0}},
        ),
        (
            {"securityContext": {"privileged": False, "runAsUser": 0, "capabilities": {"add": []}}},
            {"securityContext": {"privileged": False, "runAsUser": 0, "capabilities": {}}},
        ),
        ({"volumeMounts": [{"name": "a", "readOnly": False, "subPath": ""}]}, {"volumeMounts": [{"name": "a"}]}),
        ({"ports": [{"containerPort": 0, "hostPort": 0, "protocol": ""}]}, {"ports": [{}]}),
        (
            {"resources": {"limits": {"cpu": 0.5, "memory": "1.5Gi"}}},
            {"resources": {"limits": {"cpu": "500m", "memory": "1536Mi"}}},
        ),
        ({"resources": {"limits": {}, "requests": None}}, {}),
        (
            {"env": [{"valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}}]},
            {"env": [{"valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]},
        ),
        (
            {"env": [{"valueFrom": {"secretKeyRef": {"name": "", "key": "k", "optional": False}}}]},
            {"env": [{"valueFrom": {"secretKeyRef": {"key": "k", "optional": False}}}]},
        ),
        ({"livenessProbe": {"httpGet": {"port": 0}}}, {"livenessProbe": {"httpGet": {}}}),
        ({"livenessProbe": {"httpGet": {"port": "", "host": ""}}}, {"livenessProbe": {"httpGet": {"port": ""}}}),
        (
            {"livenessProbe": {"grpc": {"port": 1, "service": ""}}},
            {"livenessProbe": {"grpc": {"port": 1, "service": ""}}},
        ),
        ({"restartPolicy": "", "imagePullPolicy": ""}, {"restartPolicy": ""}),
    ],
)
@pytest.mark.parametrize("name", ["containers", "initContainers", "ephemeralContainers"])
def test_what_of_a_container_says_something(name: str, container: Any, expected: Any) -> None:
    """The same for the fields of all three kinds of containers."""
    assert decode(POD, {"spec": {name: [container]}}).value == {"spec": {name: [expected]}}


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("core.v1.Volume", {"emptyDir": {"medium": "", "sizeLimit": "0"}}, {"emptyDir": {"sizeLimit": "0"}}),
        ("core.v1.Volume", {"hostPath": {"path": "/", "type": ""}}, {"hostPath": {"path": "/", "type": ""}}),
        (
            "core.v1.Volume",
            {"nfs": {"server": "s", "path": "/", "readOnly": False}},
            {"nfs": {"server": "s", "path": "/"}},
        ),
        ("core.v1.Volume", {"csi": {"driver": "d", "readOnly": False}}, {"csi": {"driver": "d", "readOnly": False}}),
        ("core.v1.Secret", {"data": {"a": "YWI=\n", "b": "", "c": None}}, {"data": {"a": "YWI=", "b": "", "c": ""}}),
        ("core.v1.Secret", {"data": {"a": [104, 105, None]}}, {"data": {"a": "aGkA"}}),
        ("core.v1.Secret", {"immutable": False, "type": "", "stringData": {}}, {"immutable": False}),
        ("core.v1.ConfigMap", {"data": {"a": None}, "binaryData": {}}, {"data": {"a": ""}}),
        (
            "core.v1.Service",
            {"spec": {"ports": [{"port": 1, "nodePort": 0, "targetPort": 0}]}},
            {"spec": {"ports": [{"port": 1}]}},
        ),
        (
            "core.v1.Service",
            {"spec": {"clusterIP": "", "allocateLoadBalancerNodePorts": False}},
            {"spec": {"allocateLoadBalancerNodePorts": False}},
        ),
        ("core.v1.Service", {"status": {"loadBalancer": {"ingress": []}}}, {}),
        (
            "core.v1.PersistentVolumeClaim",
            {"spec": {"storageClassName": "", "volumeName": "", "resources": {}}},
            {"spec": {"storageClassName": ""}},
        ),
        ("core.v1.Node", {"spec": {"unschedulable": False, "taints": []}, "status": {"images": []}}, {}),
        (
            "core.v1.ServiceAccount",
            {"automountServiceAccountToken": False, "secrets": []},
            {"automountServiceAccountToken": False},
        ),
        ("core.v1.Event", {"count": 0, "source": {}, "eventTime": None, "series": {}}, {"series": {}}),
        (
            "core.v1.Event",
            {"firstTimestamp": "2026-01-02T03:04:05.9+01:00"},
            {"firstTimestamp": "2026-01-02T02:04:05Z"},
        ),
        (
            "scheduling.v1.PriorityClass",
            {"value": 0, "globalDefault": False, "preemptionPolicy": "Never"},
            {"preemptionPolicy": "Never"},
        ),
        (
            "storage.v1.StorageClass",
            {"parameters": {}, "allowVolumeExpansion": False, "mountOptions": []},
            {"allowVolumeExpansion": False},
        ),
        (
            "storage.v1.CSIDriver",
            {"spec": {"attachRequired": False, "volumeLifecycleModes": []}},
            {"spec": {"attachRequired": False}},
        ),
        (
            "node.v1.RuntimeClass",
            {"handler": "h", "overhead": {}, "scheduling": {"nodeSelector": {}}},
            {"handler": "h", "overhead": {}, "scheduling": {}},
        ),
        (
            "coordination.v1.Lease",
            {"spec": {"leaseTransitions": 0, "holderIdentity": ""}},
            {"spec": {"leaseTransitions": 0, "holderIdentity": ""}},
        ),
        (
            "discovery.v1.EndpointSlice",
            {"endpoints": [{"addresses": [], "conditions": {"ready": False}}]},
            {"endpoints": [{"conditions": {"ready": False}}]},
        ),
        (
            "meta.v1.DeleteOptions",
            {"gracePeriodSeconds": 0, "dryRun": [], "preconditions": {}},
            {"gracePeriodSeconds": 0, "preconditions": {}},
        ),
        ("meta.v1.ObjectMeta", {"labels": {}, "finalizers": [], "generation": 0, "creationTimestamp": None}, {}),
        (
            "meta.v1.ObjectMeta",
            {"ownerReferences": [{"controller": False, "name": ""}]},
            {"ownerReferences": [{"controller": False}]},
        ),
        (
            "meta.v1.ObjectMeta",
            {"deletionTimestamp": "0001-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0},
            {"deletionGracePeriodSeconds": 0},
        ),
        ("authentication.v1.UserInfo", {"extra": {"a": None, "b": ["x", None]}}, {"extra": {"a": [], "b": ["x", ""]}}),
    ],
)
def test_what_says_something_elsewhere(name: str, body: Any, expected: Any) -> None:
    """The same rule for every type: it comes from the table alone."""
    assert decode(struct(name), body) == (expected, [])


def test_times_and_bytes_that_are_none() -> None:
    """The types' own words."""
    assert error_of("core.v1.Secret", {"data": {"a": "aG k="}}) == "illegal base64 data at input byte 2"
    assert error_of("core.v1.Secret", {"data": {"a": 1}}) == (
        "json: cannot unmarshal number into Go struct field Secret.data of type []uint8"
    )
    assert error_of("core.v1.Secret", {"data": {"a": [256]}}) == (
        "json: cannot unmarshal number 256 into Go struct field Secret.data of type uint8"
    )
    assert error_of("coordination.v1.Lease", {"spec": {"renewTime": 1}}) == (
        "json: cannot unmarshal number into Go struct field LeaseSpec.spec.renewTime of type string"
    )
    assert error_of("coordination.v1.Lease", {"spec": {"renewTime": "yesterday"}}) == (
        'parsing time "yesterday" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "yesterday" as "2006"'
    )


def test_what_does_not_fit_comes_back_as_it_is() -> None:
    """An object that an older release stored is not lost for one bad value in it."""
    odd = {"metadata": {"labels": {"a": 1}}}
    assert reread(POD, odd) is odd
