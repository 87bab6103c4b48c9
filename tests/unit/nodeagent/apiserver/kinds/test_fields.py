"""What a body says that its kind does not."""

from typing import Any

import pytest

from nodeagent.apiserver.kinds.fields import inspect, model_for, type_error, unknown_fields

POD: Any = model_for("v1", "Pod")


def test_unknown_fields_have_paths() -> None:
    """Every unknown field is named with its full path, in the order of the body; known ones are not."""
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "foo": 1,
        "metadata": {"name": "x", "labels": {"any": "thing"}, "bar": None},
        "spec": {
            "containers": [{"name": "a"}, {"name": "b", "imagee": "x", "ports": [{"port": 1}]}],
            "volumes": [{"name": "v", "emptyDir": {"size": "1"}}],
            "nodeSelector": {"free": "form"},
        },
    }
    assert unknown_fields(body, POD) == [
        'unknown field "foo"',
        'unknown field "metadata.bar"',
        'unknown field "spec.containers[1].imagee"',
        'unknown field "spec.containers[1].ports[0].port"',
        'unknown field "spec.volumes[0].emptyDir.size"',
    ]
    assert type_error(body, POD) is None


QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


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
        (
            {"containers": {}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []containers",
        ),
        (
            {"containers": [{"ports": [{"containerPort": 1.5}]}]},
            "json: cannot unmarshal number 1.5 into Go struct field "
            "ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (
            {"priority": 2**31},
            "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            {"nodeSelector": {"a": 1}},
            "json: cannot unmarshal number into Go struct field PodSpec.spec.nodeSelector of type string",
        ),
        (
            {"containers": ["x"]},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type v1.Container",
        ),
        (
            {"containers": [None]},
            "json: cannot unmarshal null into an element of Go struct field PodSpec.spec.containers",
        ),
        ({"containers": [{"resources": {"limits": {"cpu": "1q"}}}]}, QUANTITY),
        ({"volumes": [{"emptyDir": {"sizeLimit": "many"}}]}, QUANTITY),
        ({"containers": [{"resources": {"limits": {"cpu": 1, "memory": 1e6}}}]}, None),
        ({"containers": [{"livenessProbe": {"httpGet": {"port": "http"}}}], "volumes": None}, None),
        ({"containers": [{"livenessProbe": {"httpGet": {"port": 80}}}]}, None),
        (
            {"containers": [{"livenessProbe": {"httpGet": {"port": True}}}]},
            "json: cannot unmarshal bool into Go struct field HTTPGetAction.spec.containers.livenessProbe.httpGet.port"
            " of type intstr.IntOrString",
        ),
    ],
)
def test_type_errors(spec: Any, error: str | None) -> None:
    """A value of a wrong type is told as a JSON decoder tells it, with the field and the type it has."""
    assert type_error({"spec": spec}, POD) == error


def test_bytes_and_times() -> None:
    """Secret data must be base64, times RFC 3339."""
    secret: Any = model_for("v1", "Secret")
    assert type_error({"data": {"a": "aGk="}}, secret) is None
    assert type_error({"data": {"a": "aG k="}}, secret) == "illegal base64 data at input byte 2"
    lease: Any = model_for("coordination.k8s.io/v1", "Lease")
    assert type_error({"spec": {"renewTime": "2026-01-02T03:04:05.123456Z"}}, lease) is None
    assert inspect({"spec": {"renewTime": "yesterday"}}, lease).error is not None


def test_kinds_without_a_model() -> None:
    """A kind that the models do not know is not checked."""
    assert model_for("example.com/v1", "Pod") is None
    assert model_for("v1", "Flower") is None
    assert model_for("v1", "DeleteOptions") is not None
