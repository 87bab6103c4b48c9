"""What kubectl get shows."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from nodeagent.apiserver.registry.builtin import RESOURCES
from nodeagent.apiserver.registry.columns.pods import PODS
from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.registry.table import age, duration

NOW = datetime(2026, 1, 1, 1, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (11100, "3h5m"),
        (28799, "7h59m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (190800, "2d5h"),
        (691199, "7d23h"),
        (691200, "8d"),
        (63071999, "729d"),
        (63072000, "2y"),
        (63504000, "2y5d"),
        (252288000, "8y"),
    ],
)
def test_durations(seconds: int, text: str) -> None:
    """Ages get coarser with time."""
    assert duration(seconds) == text


def test_no_time() -> None:
    """Without a time there is no age."""
    assert (age(None, NOW), age("2026-01-01T00:59:30Z", NOW)) == ("<unknown>", "30s")


def container(state: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"name": "c", "state": state, **rest}


RUNNING = {"running": {}}
READY = [{"type": "Ready", "status": "True"}]


def pod(status: dict[str, Any], spec: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z", **meta},
        "spec": {"containers": [{"name": "c"}], **(spec or {})},
        "status": status,
    }


INIT = {"initContainers": [{"name": "i"}, {"name": "j"}]}
SIDECAR = {"initContainers": [{"name": "s", "restartPolicy": "Always"}]}


@pytest.mark.parametrize(
    ("obj", "text", "ready"),
    [
        (pod({"phase": "Pending"}), "Pending", "0/1"),
        (pod({"phase": "Failed", "reason": "Evicted"}), "Evicted", "0/1"),
        (
            pod(
                {
                    "phase": "Pending",
                    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
                }
            ),
            "SchedulingGated",
            "0/1",
        ),
        (pod({"phase": "Running", "containerStatuses": [container(RUNNING, ready=True)]}), "Running", "1/1"),
        (
            pod({"phase": "Pending", "containerStatuses": [container({"waiting": {"reason": "ImagePullBackOff"}})]}),
            "ImagePullBackOff",
            "0/1",
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "containerStatuses": [container({"terminated": {"exitCode": 1, "reason": "OOMKilled"}})],
                }
            ),
            "OOMKilled",
            "0/1",
        ),
        (
            pod({"phase": "Failed", "containerStatuses": [container({"terminated": {"exitCode": 3}})]}),
            "ExitCode:3",
            "0/1",
        ),
        (
            pod({"phase": "Failed", "containerStatuses": [container({"terminated": {"exitCode": 137, "signal": 9}})]}),
            "Signal:9",
            "0/1",
        ),
        # init containers
        (
            pod(
                {
                    "phase": "Pending",
                    "initContainerStatuses": [container({"terminated": {"exitCode": 0}}), container(RUNNING)],
                },
                INIT,
            ),
            "Init:1/2",
            "0/1",
        ),
        (
            pod(
                {"phase": "Pending", "initContainerStatuses": [container({"waiting": {"reason": "CrashLoopBackOff"}})]},
                INIT,
            ),
            "Init:CrashLoopBackOff",
            "0/1",
        ),
        (
            pod(
                {"phase": "Pending", "initContainerStatuses": [container({"waiting": {"reason": "PodInitializing"}})]},
                INIT,
            ),
            "Init:0/2",
            "0/1",
        ),
        (
            pod({"phase": "Pending", "initContainerStatuses": [container({"terminated": {"exitCode": 7}})]}, INIT),
            "Init:ExitCode:7",
            "0/1",
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "initContainerStatuses": [{"name": "s", "state": RUNNING, "started": True, "ready": True}],
                    "containerStatuses": [container(RUNNING, ready=True)],
                },
                SIDECAR,
            ),
            "Running",
            "2/2",
        ),
        # one done, one running
        (
            pod(
                {
                    "phase": "Running",
                    "conditions": READY,
                    "containerStatuses": [
                        container({"terminated": {"exitCode": 0, "reason": "Completed"}}),
                        container(RUNNING, ready=True),
                    ],
                },
                {"containers": [{"name": "c"}, {"name": "d"}]},
            ),
            "Running",
            "1/2",
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "containerStatuses": [
                        container({"terminated": {"exitCode": 0, "reason": "Completed"}}),
                        container(RUNNING, ready=True),
                    ],
                },
                {"containers": [{"name": "c"}, {"name": "d"}]},
            ),
            "NotReady",
            "1/2",
        ),
        # going away
        (pod({"phase": "Running"}, deletionTimestamp="2026-01-01T01:00:00Z"), "Terminating", "0/1"),
        (pod({"phase": "Running", "reason": "NodeLost"}, deletionTimestamp="2026-01-01T01:00:00Z"), "Unknown", "0/1"),
        (pod({"phase": "Succeeded"}, deletionTimestamp="2026-01-01T01:00:00Z"), "Succeeded", "0/1"),
    ],
)
def test_pod_status(obj: dict[str, Any], text: str, ready: str) -> None:
    """STATUS and READY of a pod in every state."""
    cells = PODS.cells(obj, NOW)
    assert (cells[2], cells[1]) == (text, ready)


def test_pod_row() -> None:
    """A whole row, with a restart and when it was."""
    status = {
        "phase": "Running",
        "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [{"type": "gate", "status": "True"}],
        "containerStatuses": [
            container(
                RUNNING, ready=True, restartCount=2, lastState={"terminated": {"finishedAt": "2026-01-01T00:58:00Z"}}
            )
        ],
    }
    spec = {"nodeName": "n1", "readinessGates": [{"conditionType": "gate"}, {"conditionType": "other"}]}
    assert PODS.cells(pod(status, spec), NOW) == [
        "p",
        "1/1",
        "Running",
        "2 (2m ago)",
        "60m",
        "10.0.0.1",
        "n1",
        "<none>",
        "1/2",
    ]


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ("Running", []),
        (
            "Succeeded",
            [
                {
                    "type": "Completed",
                    "status": "True",
                    "reason": "Succeeded",
                    "message": "The pod has completed successfully.",
                }
            ],
        ),
        ("Failed", [{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}]),
    ],
)
def test_row_conditions(phase: str, expected: list[Any]) -> None:
    """Ended pods are marked, so that clients can hide them."""
    assert PODS.conditions is not None
    assert PODS.conditions(pod({"phase": phase})) == expected


META = {"name": "x", "creationTimestamp": "2026-01-01T00:59:50Z"}


@pytest.mark.parametrize(
    ("resource", "obj", "cells"),
    [
        ("namespaces", {"status": {"phase": "Active"}}, ["x", "Active", "10s"]),
        ("configmaps", {"data": {"a": "1"}, "binaryData": {"b": "2"}}, ["x", 2, "10s"]),
        ("secrets", {"type": "Opaque", "data": {"a": "1"}}, ["x", "Opaque", 1, "10s"]),
        ("serviceaccounts", {}, ["x", "10s"]),
        ("leases.coordination.k8s.io", {"spec": {"holderIdentity": "me"}}, ["x", "me", "10s"]),
        ("csinodes.storage.k8s.io", {"spec": {"drivers": [{}, {}]}}, ["x", 2, "10s"]),
        ("volumeattributesclasses.storage.k8s.io", {"driverName": "d.example"}, ["x", "d.example", "10s"]),
        ("runtimeclasses.node.k8s.io", {"handler": "runc"}, ["x", "runc", "10s"]),
        (
            "nodes",
            {
                "metadata": {**META, "labels": {"node-role.kubernetes.io/b": "", "kubernetes.io/role": "a"}},
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": [{"type": "InternalIP", "address": "1.2.3.4"}],
                    "nodeInfo": {"kubeletVersion": "v1"},
                },
            },
            [
                "x",
                "Ready,SchedulingDisabled",
                "a,b",
                "10s",
                "v1",
                "1.2.3.4",
                "<none>",
                "<unknown>",
                "<unknown>",
                "<unknown>",
            ],
        ),
        ("nodes", {}, ["x", "Unknown", "<none>", "10s", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"]),
        (
            "services",
            {
                "spec": {
                    "type": "NodePort",
                    "clusterIP": "10.0.0.1",
                    "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}],
                    "selector": {"b": "2", "a": "1"},
                }
            },
            ["x", "NodePort", "10.0.0.1", "<none>", "80:30080/TCP,53/UDP", "10s", "a=1,b=2"],
        ),
        (
            "services",
            {"spec": {"type": "LoadBalancer"}},
            ["x", "LoadBalancer", "<none>", "<pending>", "<none>", "10s", "<none>"],
        ),
        (
            "persistentvolumeclaims",
            {
                "spec": {"volumeName": "v", "storageClassName": "s", "volumeMode": "Filesystem"},
                "status": {
                    "phase": "Bound",
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadOnlyMany", "ReadWriteOnce"],
                },
            },
            ["x", "Bound", "v", "1Gi", "RWO,ROX", "s", "<unset>", "10s", "Filesystem"],
        ),
        (
            "persistentvolumeclaims",
            {"status": {"phase": "Pending"}},
            ["x", "Pending", "", "", "", "", "<unset>", "10s", "<unset>"],
        ),
        (
            "persistentvolumes",
            {
                "spec": {
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOncePod"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "claimRef": {"namespace": "d", "name": "c"},
                },
                "status": {"phase": "Bound"},
            },
            ["x", "1Gi", "RWOP", "Retain", "Bound", "d/c", "", "<unset>", "", "10s", "<unset>"],
        ),
        (
            "events",
            {
                "type": "Warning",
                "reason": "R",
                "message": " text\n",
                "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"},
                "source": {"component": "kubelet", "host": "n1"},
                "firstTimestamp": "2026-01-01T00:00:00Z",
                "lastTimestamp": "2026-01-01T00:59:00Z",
                "count": 3,
            },
            ["60s", "Warning", "R", "pod/p", "spec", "kubelet, n1", "text", "60m", 3, "x"],
        ),
        (
            "events",
            {
                "eventTime": "2026-01-01T00:59:00Z",
                "reportingComponent": "s",
                "series": {"count": 2, "lastObservedTime": "2026-01-01T00:59:30Z"},
            },
            ["30s", "", "", "", "", "s", "", "60s", 2, "x"],
        ),
        (
            "certificatesigningrequests.certificates.k8s.io",
            {
                "spec": {"signerName": "s", "username": "u"},
                "status": {"conditions": [{"type": "Approved"}], "certificate": "x"},
            },
            ["x", "10s", "s", "u", "<none>", "Approved,Issued"],
        ),
    ],
)
def test_rows(resource: str, obj: dict[str, Any], cells: list[Any]) -> None:
    """A row of each kind, full and empty."""
    kind = Registry(RESOURCES).by_id(resource)
    assert kind is not None
    full = {"metadata": META, **obj}
    assert kind.table.cells(full, NOW) == cells
    assert len(kind.table.columns) == len(cells)


def test_every_kind_has_a_row_for_an_empty_object() -> None:
    """No kind's row fails on an object that has nothing but a name, and every row fits its columns."""
    for kind in RESOURCES:
        cells = kind.table.cells({"metadata": {"name": "x"}}, NOW)
        assert len(cells) == len(kind.table.columns), kind.id
        assert json.dumps(cells)
