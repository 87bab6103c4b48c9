"""Documents that are right, for inputs that are nearly right."""

import copy
from typing import Any

from tests.fuzz.api_under_test import POD


def _with(**spec: Any) -> Any:
    pod = copy.deepcopy(POD)
    pod["metadata"] = {"name": "new", "namespace": "default", "labels": {"a": "b"}, "annotations": {"x.io/y": "z"}}
    pod["spec"].update(copy.deepcopy(spec))  # type: ignore[attr-defined]
    return pod


_CONTAINER = {"name": "d", "image": "reg.io:5000/x/y:1@sha256:" + "a" * 64}
PODS: tuple[Any, ...] = (
    _with(),
    _with(
        initContainers=[
            {**_CONTAINER, "restartPolicy": "Always", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
        ],
        securityContext={
            "runAsUser": 1000,
            "fsGroup": 1000,
            "supplementalGroups": [1],
            "sysctls": [{"name": "net.core.somaxconn", "value": "1"}],
            "seccompProfile": {"type": "Localhost", "localhostProfile": "a/b"},
            "seLinuxOptions": {"level": "s0"},
        },
        resources={"limits": {"cpu": "2", "memory": "2Gi", "hugepages-2Mi": "4Mi"}},
        overhead={"cpu": "10m"},
        hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a.b"]}],
        dnsPolicy="None",
        dnsConfig={"nameservers": ["1.1.1.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}]},
        hostname="h",
        subdomain="s",
        priorityClassName="system-node-critical",
        terminationGracePeriodSeconds=5,
        activeDeadlineSeconds=5,
        readinessGates=[{"conditionType": "a.io/b"}],
        topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule"}],
        affinity={
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "Gt", "values": ["1"]}]}]
                }
            },
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "k", "labelSelector": {"matchExpressions": [{"key": "k", "operator": "Exists"}]}}
                ]
            },
        },
    ),
    _with(
        containers=[
            {
                **_CONTAINER,
                "command": ["$(A)", "b"],
                "env": [
                    {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
                    {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                    {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
                "livenessProbe": {
                    "httpGet": {"path": "/", "port": "http", "httpHeaders": [{"name": "X-A", "value": "b"}]},
                    "periodSeconds": 1,
                    "terminationGracePeriodSeconds": 1,
                },
                "startupProbe": {"grpc": {"port": 1, "service": "s"}},
                "lifecycle": {"preStop": {"sleep": {"seconds": 1}}, "postStart": {"exec": {"command": ["a"]}}},
                "securityContext": {
                    "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
                    "procMount": "Default",
                    "appArmorProfile": {"type": "RuntimeDefault"},
                    "runAsNonRoot": True,
                },
                "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
                "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}],
            }
        ],
        ephemeralContainers=[],
        volumes=[
            {"name": "v", "hostPath": {"path": "/a", "type": "Directory"}},
            {"name": "w", "configMap": {"name": "c", "items": [{"key": "k", "path": "a/b", "mode": 420}]}},
            {
                "name": "x",
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}},
                        {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                    ]
                },
            },
            {"name": "y", "image": {"reference": "a:1"}},
        ],
    ),
)

KUBELET: Any = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "syncFrequency": "1m",
    "maxPods": 110,
    "evictionHard": {"memory.available": "100Mi"},
    "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": "ca.crt"}},
    "containerLogMaxSize": "10Mi",
    "clusterDNS": ["10.96.0.10"],
    "systemReserved": {"cpu": "100m", "memory": "1Gi"},
    "reservedSystemCPUs": "0-1",
    "tlsCipherSuites": ["TLS_AES_128_GCM_SHA256"],
    "registerWithTaints": [{"key": "k", "effect": "NoSchedule"}],
    "nodeStatusUpdateFrequency": "10s",
    "shutdownGracePeriod": "30s",
    "imageMinimumGCAge": "2m",
    "featureGates": {"PodLevelResources": True},
    "logging": {"format": "text", "verbosity": 2},
    "memorySwap": {"swapBehavior": "NoSwap"},
    "allowedUnsafeSysctls": ["net.*"],
}
AGENT: Any = {
    "apiVersion": "nodeagent.dev/v1alpha1",
    "kind": "NodeAgentConfiguration",
    "runtimes": {"runc": {"type": "oci", "path": "/usr/bin/runc", "podAnnotations": ["a.io/*"]}},
    "cni": {"subnet": "10.88.0.0/16"},
    "registries": {"reg.io": {"mirrors": ["m.io/x"]}},
}
