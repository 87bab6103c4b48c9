"""A pod that says something in every part of its spec, and every way to give one of its places a value of the wrong type."""

import copy
from collections.abc import Iterator
from typing import Any

Json = Any
Path = tuple[str | int, ...]

WRONG: tuple[Json, ...] = (None, True, 7, -1.5, "x", [], [1], {}, {"a": [{}]}, [[{"b": None}]])
"""Values of each of JSON's types, and nested ones."""
TELLING: tuple[Json, ...] = (7, "x", [[{"b": None}]], {"a": [{}]})
"""The four of them that find most, for what takes long."""

_PROBE = {
    "periodSeconds": 5,
    "timeoutSeconds": 2,
    "failureThreshold": 3,
    "successThreshold": 1,
    "initialDelaySeconds": 1,
    "terminationGracePeriodSeconds": 4,
}
_HTTP = {
    "path": "/a",
    "port": 80,
    "host": "10.0.0.1",
    "scheme": "HTTP",
    "httpHeaders": [{"name": "X-A", "value": "b"}],
}
_SECURITY = {
    "runAsUser": 1,
    "runAsGroup": 1,
    "runAsNonRoot": True,
    "seLinuxOptions": {"user": "u", "role": "r", "type": "t", "level": "l"},
    "seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"},
    "appArmorProfile": {"type": "RuntimeDefault"},
}
_CONTAINER = {
    "image": "localhost/demo:1",
    "imagePullPolicy": "Never",
    "command": ["sh"],
    "args": ["-c", "true"],
    "workingDir": "/",
    "env": [
        {"name": "A", "value": "b"},
        {"name": "F", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
        {
            "name": "R",
            "valueFrom": {"resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1"}},
        },
    ],
    "ports": [{"name": "p", "containerPort": 80, "hostPort": 8080, "hostIP": "10.0.0.1", "protocol": "TCP"}],
    "resources": {"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "32Mi"}},
    "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
    "volumeMounts": [
        {"name": "dir", "mountPath": "/a", "subPath": "s", "readOnly": False, "mountPropagation": "None"},
        {"name": "host", "mountPath": "/b", "readOnly": True, "recursiveReadOnly": "IfPossible"},
    ],
    "securityContext": {
        **_SECURITY,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "procMount": "Default",
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
    },
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "stdin": False,
    "stdinOnce": False,
    "tty": False,
}
_TERM = {"key": "disk", "operator": "In", "values": ["ssd"]}
_POD_TERM = {
    "labelSelector": {"matchLabels": {"a": "b"}, "matchExpressions": [_TERM]},
    "topologyKey": "zone",
    "namespaces": ["n"],
}

FULL_POD: dict[str, Json] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "full",
        "namespace": "default",
        "labels": {"a": "b"},
        "annotations": {"x.io/y": "z"},
        "finalizers": ["x.io/f"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": True}],
    },
    "spec": {
        "containers": [
            {
                "name": "c",
                **_CONTAINER,
                "livenessProbe": {**_PROBE, "exec": {"command": ["true"]}},
                "readinessProbe": {
                    **{k: v for k, v in _PROBE.items() if k != "terminationGracePeriodSeconds"},
                    "httpGet": _HTTP,
                },
                "startupProbe": {**_PROBE, "grpc": {"port": 90, "service": "s"}},
                "lifecycle": {
                    "postStart": {"exec": {"command": ["true"]}},
                    "preStop": {"httpGet": _HTTP},
                    "stopSignal": "SIGTERM",
                },
            },
            {"name": "d", "image": "i", "livenessProbe": {"tcpSocket": {"port": "p", "host": "h"}}},
        ],
        "initContainers": [{"name": "i", "image": "i", "restartPolicy": "Always"}],
        "volumes": [
            {"name": "dir", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "host", "hostPath": {"path": "/tmp", "type": "Directory"}},
            {
                "name": "down",
                "downwardAPI": {
                    "defaultMode": 420,
                    "items": [
                        {"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 256},
                        {
                            "path": "c",
                            "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"},
                        },
                    ],
                },
            },
            {
                "name": "all",
                "projected": {
                    "defaultMode": 420,
                    "sources": [
                        {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}}
                    ],
                },
            },
            {"name": "nfs", "nfs": {"server": "s", "path": "/p", "readOnly": True}},
            {"name": "image", "image": {"reference": "localhost/demo:1", "pullPolicy": "Never"}},
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 1,
        "activeDeadlineSeconds": 1000,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.0.0.1"], "searches": ["a"], "options": [{"name": "ndots", "value": "1"}]},
        "nodeSelector": {"a": "b"},
        "automountServiceAccountToken": False,
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        "hostUsers": True,
        "shareProcessNamespace": True,
        "securityContext": {
            **_SECURITY,
            "fsGroup": 1,
            "fsGroupChangePolicy": "OnRootMismatch",
            "supplementalGroups": [1],
            "supplementalGroupsPolicy": "Merge",
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
        "hostname": "h",
        "subdomain": "s",
        "setHostnameAsFQDN": False,
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [_TERM], "matchFields": [{**_TERM, "key": "metadata.name"}]}
                    ]
                },
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "preference": {"matchExpressions": [_TERM]}}
                ],
            },
            "podAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [_POD_TERM],
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": _POD_TERM}],
            },
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [_POD_TERM]},
        },
        "schedulerName": "default-scheduler",
        "tolerations": [{"key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute", "tolerationSeconds": 1}],
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "overhead": {"cpu": "1m"},
        "readinessGates": [{"conditionType": "x.io/g"}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"a": "b"}},
                "minDomains": 1,
                "nodeAffinityPolicy": "Honor",
                "nodeTaintsPolicy": "Ignore",
                "matchLabelKeys": ["v"],
            }
        ],
        "os": {"name": "linux"},
        "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}},
    },
}


def places(value: Json, path: Path = ()) -> Iterator[Path]:
    """Every place of a value: maps, lists and scalars, the outermost first."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in parts:
        yield from places(item, (*path, step))


def mistyped(whole: dict[str, Json], values: tuple[Json, ...] = WRONG) -> Iterator[tuple[Path, Json, dict[str, Json]]]:
    """(place, wrong value, a copy of `whole` with it there) for every place below the root and every value."""
    for path in places(whole):
        for wrong in values if path else ():
            made = copy.deepcopy(whole)
            inner: Json = made
            for step in path[:-1]:
                inner = inner[step]
            inner[path[-1]] = copy.deepcopy(wrong)
            yield path, wrong, made
