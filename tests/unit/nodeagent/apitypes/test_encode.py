"""The form in which objects are stored and answered."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typed_values import values

from nodeagent.apitypes.decode import decode
from nodeagent.apitypes.encode import read, work_form, written_form
from nodeagent.apitypes.schema import kinds, struct


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        (
            "core.v1.Pod",
            {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "args": []}]}},
            {
                "metadata": {"name": "p"},
                "spec": {"containers": [{"name": "c", "resources": {}}]},
                "status": {},
            },
        ),
        ("core.v1.Pod", {}, {"metadata": {}, "spec": {"containers": None}, "status": {}}),
        (
            "core.v1.PodStatus",
            {"conditions": [{"type": "Ready", "status": "True"}], "podIPs": [{}], "hostIPs": [], "startTime": None},
            {
                "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": None}],
                "podIPs": [{"ip": ""}],
            },
        ),
        (
            "core.v1.ContainerStatus",
            {"name": "c", "state": {"running": {}}},
            {
                "name": "c",
                "image": "",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"running": {"startedAt": None}},
                "lastState": {},
            },
        ),
        (
            "core.v1.EnvVar",
            {"name": "A", "value": "", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}},
        ),
        (
            "core.v1.Service",
            {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}},
            {
                "metadata": {"name": "s"},
                "spec": {"ports": [{"port": 80, "targetPort": 0}]},
                "status": {"loadBalancer": {}},
            },
        ),
        (
            "core.v1.Volume",
            {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}},
            {
                "name": "v",
                "ephemeral": {
                    "volumeClaimTemplate": {"metadata": {}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {}}}
                },
            },
        ),
        ("core.v1.Volume", {"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}),
        (
            "core.v1.PersistentVolumeClaim",
            {},
            {"metadata": {}, "spec": {"resources": {}}, "status": {}},
        ),
        ("core.v1.Namespace", {"spec": {"finalizers": []}}, {"metadata": {}, "spec": {}, "status": {}}),
        ("core.v1.ConfigMap", {"data": {}}, {"metadata": {}}),
        ("scheduling.v1.PriorityClass", {}, {"metadata": {}, "value": 0}),
        ("storage.v1.StorageClass", {}, {"metadata": {}, "provisioner": ""}),
        ("storage.v1.CSINode", {}, {"metadata": {}, "spec": {"drivers": None}}),
        (
            "discovery.v1.EndpointSlice",
            {"endpoints": [{"addresses": []}]},
            {"metadata": {}, "addressType": "", "endpoints": [{"addresses": None, "conditions": {}}], "ports": None},
        ),
        (
            "core.v1.NodeStatus",
            {},
            {
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
                "nodeInfo": {
                    "architecture": "",
                    "bootID": "",
                    "containerRuntimeVersion": "",
                    "kernelVersion": "",
                    "kubeProxyVersion": "",
                    "kubeletVersion": "",
                    "machineID": "",
                    "operatingSystem": "",
                    "osImage": "",
                    "systemUUID": "",
                },
            },
        ),
        (
            "core.v1.Event",
            {"metadata": {"name": "e"}},
            {
                "metadata": {"name": "e"},
                "involvedObject": {},
                "source": {},
                "firstTimestamp": None,
                "lastTimestamp": None,
                "eventTime": None,
                "reportingComponent": "",
                "reportingInstance": "",
            },
        ),
        ("meta.v1.ObjectMeta", {"creationTimestamp": None, "labels": None}, {}),
    ],
)
def test_what_is_written_in_any_case(name: str, body: Any, expected: Any) -> None:
    """Structs that are no pointers, fields without omitempty, times as null, quantities as "0"; nothing else that is empty."""
    assert written_form(struct(name), body) == expected


def test_rules_see_no_nulls() -> None:
    """The form that rules work on has all that is written but null."""
    pod = {"spec": {"containers": []}, "status": {"conditions": [{"type": "Ready"}]}}
    expected = {
        "metadata": {},
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": ""}]},
    }
    assert work_form(struct("core.v1.Pod"), pod) == expected
    assert read(struct("core.v1.Pod"), pod) == (expected, [])


@pytest.mark.parametrize("name", sorted(kinds().values()))
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_forms_agree(name: str, data: Any) -> None:
    """Writing is idempotent and leaves its input alone; what is read of the written form is what was read of the body; the form
    that rules work on is the written one without nulls."""
    kind = struct(name)
    body = data.draw(values(kind))
    kept = copy.deepcopy(body)
    written = written_form(kind, body)
    assert body == kept
    assert written_form(kind, written) == written
    assert decode(kind, written) == decode(kind, body)
    assert written_form(kind, work_form(kind, body)) == written
    assert work_form(kind, written) == work_form(kind, body) == read(kind, body).value
