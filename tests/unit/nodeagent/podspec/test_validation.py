"""Every reason to refuse a pod, with path and text."""

import copy
from typing import Any

import pytest

from nodeagent.podspec.defaults import default_pod
from nodeagent.podspec.validation.pod import validate_create
from runtimes.kube.names import LABEL_TEXT, SUBDOMAIN_TEXT

FIRST = "spec.containers[0]"
V = [{"name": "v", "emptyDir": {}}]


def causes(pod: Any) -> list[str]:
    pod = copy.deepcopy(pod)
    default_pod(pod)
    return [str(error) for error in validate_create(pod)]


CONTAINER_CASES: list[tuple[Any, list[str]]] = [
    ({"name": ""}, [f"{FIRST}.name: Required value"]),
    ({"name": "A"}, [f'{FIRST}.name: Invalid value: "A": {LABEL_TEXT}']),
    ({"image": ""}, [f"{FIRST}.image: Required value"]),
    ({"image": " x"}, [f'{FIRST}.image: Invalid value: " x": must not have leading or trailing whitespace']),
    (
        {"imagePullPolicy": "Now"},
        [f'{FIRST}.imagePullPolicy: Unsupported value: "Now": supported values: "Always", "IfNotPresent", "Never"'],
    ),
    (
        {"terminationMessagePolicy": "x"},
        [
            f'{FIRST}.terminationMessagePolicy: Unsupported value: "x": supported values: "File", "FallbackToLogsOnError"'
        ],
    ),
    ({"ports": [{"containerPort": 0}]}, [f"{FIRST}.ports[0].containerPort: Required value"]),
    (
        {"ports": [{"containerPort": 65536, "hostPort": -1}]},
        [
            f"{FIRST}.ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
            f"{FIRST}.ports[0].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive",
        ],
    ),
    (
        {"ports": [{"containerPort": 1, "protocol": "tcp"}]},
        [f'{FIRST}.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"'],
    ),
    (
        {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
        [f'{FIRST}.ports[1].name: Duplicate value: "a"'],
    ),
    (
        {"ports": [{"containerPort": 1, "hostPort": 82}, {"containerPort": 2, "hostPort": 82}]},
        [f'{FIRST}.ports[1].hostPort: Duplicate value: "TCP//82"'],
    ),
    (
        {"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
        [f'{FIRST}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ),
    (
        {"env": [{"name": "A", "valueFrom": {}}]},
        [
            f'{FIRST}.env[0].valueFrom: Invalid value: "": must specify one of: '
            "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        ],
    ),
    (
        {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}]},
        [
            f'{FIRST}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.foo": '
            "error converting fieldPath: field label not supported: spec.foo"
        ],
    ),
    ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}]}, []),
    (
        {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]},
        [
            f'{FIRST}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": supported values: '
            '"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", '
            '"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'
        ],
    ),
    (
        {"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}]},
        [
            f'{FIRST}.env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.gpu": supported values: '
            '"limits.cpu", "limits.ephemeral-storage", "limits.memory", '
            '"requests.cpu", "requests.ephemeral-storage", "requests.memory"'
        ],
    ),
    ({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.hugepages-2Mi"}}}]}, []),
    (
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]},
        [f"{FIRST}.env[0].valueFrom.secretKeyRef.key: Required value"],
    ),
    ({"envFrom": [{"prefix": "P_", "secretRef": {"name": "s"}}, {"configMapRef": {"name": "c"}}]}, []),
    (
        {"envFrom": [{}, {"secretRef": {"name": "s"}, "configMapRef": {"name": "c"}}]},
        [
            f'{FIRST}.envFrom[0]: Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
            f'{FIRST}.envFrom[1]: Invalid value: "": may not have more than one field specified at a time',
        ],
    ),
    (
        {"volumeMounts": [{"name": "w", "mountPath": "/x"}, {"name": "v", "mountPath": ""}]},
        [f'{FIRST}.volumeMounts[0].name: Not found: "w"', f"{FIRST}.volumeMounts[1].mountPath: Required value"],
    ),
    (
        {"volumeMounts": [{"name": "v", "mountPath": "/x"}, {"name": "v", "mountPath": "/x"}]},
        [f'{FIRST}.volumeMounts[1].mountPath: Invalid value: "/x": must be unique'],
    ),
    (
        {"volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "/a"}]},
        [f'{FIRST}.volumeMounts[0].subPath: Invalid value: "/a": must be a relative path'],
    ),
    (
        {"volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "a/../b", "subPathExpr": "c"}]},
        [
            f"{FIRST}.volumeMounts[0].subPath: Invalid value: \"a/../b\": must not contain '..'",
            f'{FIRST}.volumeMounts[0].subPathExpr: Invalid value: "c": subPathExpr and subPath are mutually exclusive',
        ],
    ),
    (
        {"volumeMounts": [{"name": "v", "mountPath": "/x", "mountPropagation": "Bidirectional"}]},
        [
            f"{FIRST}.volumeMounts[0].mountPropagation: Forbidden: "
            "Bidirectional mount propagation is available only to privileged containers"
        ],
    ),
    (
        {"volumeMounts": [{"name": "v", "mountPath": "/x", "recursiveReadOnly": "Enabled"}]},
        [f"{FIRST}.volumeMounts[0].recursiveReadOnly: Forbidden: may only be specified when readOnly is true"],
    ),
    (
        {"resources": {"limits": {"gpu": "1"}, "requests": {"gpu": "1"}}},
        [
            f'{FIRST}.resources.{which}[gpu]: Invalid value: "gpu": {text}'
            for which in ("limits", "requests")
            for text in (
                "must be a standard resource type or fully qualified",
                "must be a standard resource for containers",
            )
        ],
    ),
    (
        {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1500m"}}},
        [f'{FIRST}.resources.requests: Invalid value: "1500m": must be less than or equal to cpu limit of 1'],
    ),
    (
        {"resources": {"requests": {"cpu": "-1"}}},
        [f'{FIRST}.resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
    ),
    (
        {"resources": {"requests": {"a.com/gpu": "1"}}},
        [f"{FIRST}.resources.limits: Required value: Limit must be set for non overcommitable resources"],
    ),
    (
        {"resources": {"limits": {"a.com/gpu": "2"}, "requests": {"a.com/gpu": "1"}}},
        [f'{FIRST}.resources.requests: Invalid value: "1": must be equal to a.com/gpu limit of 2'],
    ),
    (
        {"resources": {"limits": {"a.com/gpu": "1.5"}}},
        [
            f'{FIRST}.resources.limits[a.com/gpu]: Invalid value: "1500m": must be an integer',
            f'{FIRST}.resources.requests[a.com/gpu]: Invalid value: "1500m": must be an integer',
        ],
    ),
    (
        {"resources": {"limits": {"hugepages-2Mi": "4Mi"}}},
        [f"{FIRST}.resources: Forbidden: HugePages require cpu or memory"],
    ),
    (
        {"resources": {"limits": {"hugepages-2Mi": "3Mi", "memory": "1Gi"}}},
        [
            f'{FIRST}.resources.{which}[hugepages-2Mi]: Invalid value: "3Mi": must be a positive integer multiple of 2Mi'
            for which in ("limits", "requests")
        ],
    ),
    ({"livenessProbe": {}}, [f"{FIRST}.livenessProbe: Required value: must specify a handler type"]),
    (
        {"readinessProbe": {"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}},
        [f"{FIRST}.readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
    ),
    (
        {"livenessProbe": {"exec": {"command": []}, "successThreshold": 2, "periodSeconds": -1}},
        [
            f"{FIRST}.livenessProbe.exec.command: Required value",
            f"{FIRST}.livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            f"{FIRST}.livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ],
    ),
    ({"readinessProbe": {"exec": {"command": ["x"]}, "successThreshold": 2}}, []),
    (
        {"startupProbe": {"httpGet": {"port": 0, "scheme": "FTP"}}},
        [
            f"{FIRST}.startupProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            f'{FIRST}.startupProbe.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"',
        ],
    ),
    (
        {"lifecycle": {"postStart": {}, "preStop": {"sleep": {"seconds": 31}}}},
        [
            f"{FIRST}.lifecycle.postStart: Required value: must specify a handler type",
            f"{FIRST}.lifecycle.preStop.sleep: Invalid value: 31: "
            "must be non-negative and less than terminationGracePeriodSeconds (30)",
        ],
    ),
    (
        {"lifecycle": {"stopSignal": "SIGINT"}},
        [f"{FIRST}.lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`"],
    ),
    (
        {"securityContext": {"runAsUser": -1, "runAsGroup": 2**31}},
        [
            f"{FIRST}.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            f"{FIRST}.securityContext.runAsGroup: Invalid value: 2147483648: must be between 0 and 2147483647, inclusive",
        ],
    ),
    (
        {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
        [
            f'{FIRST}.securityContext: Invalid value: {{"privileged":true,"allowPrivilegeEscalation":false}}: '
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        ],
    ),
    (
        {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
        [
            f"{FIRST}.securityContext.seccompProfile.localhostProfile: Required value: "
            "must be set when seccomp type is Localhost"
        ],
    ),
    (
        {"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]},
        [f"{FIRST}.restartPolicy: Required value: must specify restartPolicy when restart rules are used"],
    ),
]


@pytest.mark.parametrize(("change", "expected"), CONTAINER_CASES)
def test_container(change: Any, expected: list[str], new_pod: Any) -> None:
    """Each mistake in a container is told with its path and its text."""
    pod = new_pod(volumes=V)
    pod["spec"]["containers"][0].update(change)
    assert causes(pod) == expected


def volume(**source: Any) -> Any:
    return {"volumes": [{"name": "v", **source}]}


SPEC_CASES: list[tuple[Any, list[str]]] = [
    ({"containers": []}, ["spec.containers: Required value"]),
    (
        {"initContainers": [{"name": "c", "image": "x"}]},
        ['spec.initContainers[0].name: Duplicate value: "c"'],
    ),
    (
        {"initContainers": [{"name": "i", "image": "x", "readinessProbe": {"exec": {"command": ["x"]}}}]},
        [
            "spec.initContainers[0].readinessProbe: Forbidden: "
            "may not be set for init containers without restartPolicy=Always"
        ],
    ),
    (
        {
            "initContainers": [
                {
                    "name": "i",
                    "image": "x",
                    "restartPolicy": "Always",
                    "lifecycle": {"postStart": {"exec": {"command": ["x"]}}},
                }
            ]
        },
        [],
    ),
    (
        {"ephemeralContainers": [{"name": "e", "image": "x"}]},
        ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    ),
    (
        {"restartPolicy": "Sometimes"},
        ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
    ),
    (
        {"dnsPolicy": "x"},
        [
            'spec.dnsPolicy: Unsupported value: "x": supported values: '
            '"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"'
        ],
    ),
    ({"dnsPolicy": "None"}, ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]),
    (
        {"dnsPolicy": "None", "dnsConfig": {"searches": ["a.b"]}},
        [
            "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None"
        ],
    ),
    (
        {"dnsConfig": {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "x"]}},
        [
            'spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.2","1.1.1.3","x"]: '
            "must not have more than 3 nameservers",
            'spec.dnsConfig.nameservers[3]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        ],
    ),
    (
        {"activeDeadlineSeconds": 0},
        ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    ),
    (
        {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
        [
            'spec.tolerations[0].operator: Invalid value: {"key":"a","operator":"Exists","value":"b"}: '
            "value must be empty when `operator` is 'Exists'"
        ],
    ),
    (
        {"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 1}]},
        [
            'spec.tolerations[0].effect: Invalid value: "NoSchedule": '
            "effect must be 'NoExecute' when `tolerationSeconds` is set"
        ],
    ),
    (
        {"tolerations": [{"effect": "Never"}]},
        [
            'spec.tolerations[0].operator: Invalid value: "": '
            'operator must be Exists when `key` is empty, which means "match all values and all keys"',
            'spec.tolerations[0].effect: Unsupported value: "Never": '
            'supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
        ],
    ),
    ({"hostname": "a.b"}, [f'spec.hostname: Invalid value: "a.b": {LABEL_TEXT}']),
    ({"nodeName": "A"}, [f'spec.nodeName: Invalid value: "A": {SUBDOMAIN_TEXT}']),
    (
        {"schedulingGates": [{"name": "a/b"}, {"name": "a/b"}], "nodeName": "n"},
        [
            'spec.schedulingGates[1]: Duplicate value: "a/b"',
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
        ],
    ),
    (
        {
            "hostNetwork": True,
            "containers": [{"name": "c", "image": "x", "ports": [{"containerPort": 1, "hostPort": 2}]}],
        },
        [
            "spec.containers[0].ports[0].hostPort: Invalid value: 2: must match `containerPort` when `hostNetwork` is true"
        ],
    ),
    (
        {"securityContext": {"sysctls": [{"name": "net.x"}, {"name": "a..b"}, {"name": "net.x"}]}, "hostNetwork": True},
        [
            "spec.securityContext.sysctls[0].name: Invalid value: \"net.x\": may not be specified when 'hostNetwork' is true",
            'spec.securityContext.sysctls[1].name: Invalid value: "a..b": must have at most 253 characters and match regex '
            r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
            'spec.securityContext.sysctls[2].name: Duplicate value: "net.x"',
            "spec.securityContext.sysctls[2].name: Invalid value: \"net.x\": may not be specified when 'hostNetwork' is true",
        ],
    ),
    (
        {"shareProcessNamespace": True, "hostPID": True},
        ["spec.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled"],
    ),
    ({"hostUsers": False, "hostPID": True}, ["spec.hostPID: Forbidden: when `hostUsers` is false"]),
    ({"imagePullSecrets": [{}]}, ["spec.imagePullSecrets[0].name: Required value"]),
    ({"os": {"name": "beos"}}, ['spec.os: Unsupported value: "beos": supported values: "linux", "windows"']),
    (
        {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}},
        [
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: "
            "Required value: must have at least one node selector term"
        ],
    ),
    (
        {"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "x"}]},
        [
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
            'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "x": '
            'supported values: "DoNotSchedule", "ScheduleAnyway"',
        ],
    ),
    (
        {
            "resources": {"requests": {"cpu": "1", "ephemeral-storage": "1"}},
            "containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "2"}}}],
        },
        [
            'spec.resources.requests[ephemeral-storage]: Invalid value: "ephemeral-storage": '
            "must be a supported resource for pods: cpu, memory, hugepages-*",
            'spec.resources.requests[cpu]: Invalid value: "1": '
            "must be greater than or equal to aggregate container requests of 2",
        ],
    ),
    ({"volumes": [{"name": "A"}]}, [f'spec.volumes[0].name: Invalid value: "A": {LABEL_TEXT}']),
    ({"volumes": [{"name": "v"}, {"name": "v"}]}, ['spec.volumes[1].name: Duplicate value: "v"']),
    (
        volume(emptyDir={}, hostPath={"path": "/x"}),
        ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
    ),
    (volume(hostPath={}), ["spec.volumes[0].hostPath.path: Required value"]),
    (
        volume(hostPath={"path": "/a/../b", "type": "Box"}),
        [
            "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
            'spec.volumes[0].hostPath.type: Unsupported value: "Box": supported values: "", "BlockDevice", "CharDevice", '
            '"Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"',
        ],
    ),
    (
        volume(secret={"secretName": "s", "defaultMode": 0o1000}),
        [
            "spec.volumes[0].secret.defaultMode: Invalid value: 512: "
            "must be a number between 0 and 0777 (octal), both inclusive"
        ],
    ),
    (
        volume(configMap={"items": [{"key": "", "path": "/a"}, {"key": "k", "path": "..x"}]}),
        [
            "spec.volumes[0].configMap.name: Required value",
            "spec.volumes[0].configMap.items[0].key: Required value",
            'spec.volumes[0].configMap.items[0].path: Invalid value: "/a": must be a relative path',
            "spec.volumes[0].configMap.items[1].path: Invalid value: \"..x\": must not start with '..'",
        ],
    ),
    (
        volume(projected={"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 599}}]}),
        [
            "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599: "
            "may not specify a duration less than 10 minutes"
        ],
    ),
    (
        volume(projected={"sources": [{"secret": {"name": "s"}, "configMap": {"name": "c"}}, {}]}),
        [
            "spec.volumes[0].projected.sources[0].configMap: Forbidden: may not specify more than 1 volume type per source",
            "spec.volumes[0].projected.sources[1]: Required value: must specify a projection source",
        ],
    ),
    (
        volume(downwardAPI={"items": [{"path": "a", "fieldRef": {"fieldPath": "spec.nodeName"}}, {"path": "b"}]}),
        [
            'spec.volumes[0].downwardAPI.items[0].fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values: '
            '"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"',
            "spec.volumes[0].downwardAPI.items[1].fieldRef: Required value: one of fieldRef and resourceFieldRef is required",
        ],
    ),
    (
        volume(emptyDir={"sizeLimit": "-1Mi"}),
        ["spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"],
    ),
    (volume(persistentVolumeClaim={}), ["spec.volumes[0].persistentVolumeClaim.claimName: Required value"]),
    (volume(csi={}), ["spec.volumes[0].csi.driver: Required value"]),
    (
        volume(nfs={"server": "s", "path": "x"}),
        ['spec.volumes[0].nfs.path: Invalid value: "x": must be an absolute path'],
    ),
    (volume(image={}), ["spec.volumes[0].image.reference: Required value"]),
]


@pytest.mark.parametrize(("change", "expected"), SPEC_CASES)
def test_spec(change: Any, expected: list[str], new_pod: Any) -> None:
    """Each mistake in the pod itself, its volumes and its scheduling rules."""
    assert causes(new_pod(**change)) == expected


def test_all_causes_at_once(new_pod: Any) -> None:
    """A pod with many mistakes hears of all of them in one answer."""
    pod = new_pod(restartPolicy="x", volumes=[{"name": "v", "hostPath": {}}])
    pod["spec"]["containers"] = [{"name": "a"}, {"name": "a", "image": "x", "ports": [{"containerPort": 0}]}]
    assert causes(pod) == [
        "spec.volumes[0].hostPath.path: Required value",
        "spec.containers[0].image: Required value",
        'spec.containers[1].name: Duplicate value: "a"',
        "spec.containers[1].ports[0].containerPort: Required value",
        'spec.restartPolicy: Unsupported value: "x": supported values: "Always", "OnFailure", "Never"',
    ]


@pytest.mark.parametrize("example", ["web", "sidecar", "debug"])
def test_good_pods(example: str, new_pod: Any) -> None:
    """Pods as people write them have no cause at all."""
    pods = {
        "web": new_pod(
            containers=[
                {
                    "name": "web",
                    "image": "nginx:1.27",
                    "ports": [{"name": "http", "containerPort": 80, "hostPort": 8080}],
                    "resources": {"limits": {"cpu": "1", "memory": "128Mi", "ephemeral-storage": "1Gi"}},
                    "readinessProbe": {"httpGet": {"port": "http", "httpHeaders": [{"name": "X-A", "value": "b"}]}},
                    "volumeMounts": [{"name": "v", "mountPath": "/data", "subPath": "a/b", "readOnly": True}],
                    "securityContext": {"runAsUser": 0, "capabilities": {"drop": ["ALL"]}, "procMount": "Default"},
                }
            ],
            volumes=[{"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "p/q"}]}}],
            nodeSelector={"kubernetes.io/os": "linux"},
            tolerations=[{"operator": "Exists"}],
            securityContext={"fsGroup": 5, "seccompProfile": {"type": "RuntimeDefault"}},
        ),
        "sidecar": new_pod(
            initContainers=[
                {"name": "first", "image": "x"},
                {"name": "proxy", "image": "x", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}},
            ],
            terminationGracePeriodSeconds=0,
        ),
        "debug": new_pod(hostNetwork=True, hostPID=True, hostIPC=True, nodeName="n1", restartPolicy="Never"),
    }
    assert causes(pods[example]) == []
