"""What the cluster adds to a new pod."""

import copy
from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import hooks_for
from nodeagent.apiserver.kinds.pods.admission import SUFFIX_ALPHABET
from nodeagent.apitypes.encode import read
from nodeagent.apitypes.schema import struct

HOOKS = hooks_for("pods")
POD = struct("core.v1.Pod")
LOST = [
    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
]
PC = "priorityclasses.scheduling.k8s.io"
RC = "runtimeclasses.node.k8s.io"


def created(cluster: Any, pod: Any) -> Any:
    pod = read(POD, pod).value
    HOOKS.prepare_create(pod, cluster.context(name=pod["metadata"]["name"]))
    assert HOOKS.validate_create(pod) == []
    return pod


def refused(cluster: Any, pod: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        HOOKS.prepare_create(copy.deepcopy(pod), cluster.context(name=pod["metadata"]["name"]))
    return caught.value


def test_everything_a_plain_pod_gets(cluster: Any, new_pod: Any) -> None:
    """Service account, token volume in its exact shape, tolerations, priority and status."""
    pod = created(cluster, new_pod())
    spec = pod["spec"]
    name = spec["volumes"][0]["name"]
    assert name.startswith("kube-api-access-") and len(name) == 21 and set(name[16:]) <= set(SUFFIX_ALPHABET)
    assert spec["volumes"] == [
        {
            "name": name,
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {
                        "downwardAPI": {
                            "items": [
                                {
                                    "path": "namespace",
                                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                                }
                            ]
                        }
                    },
                ],
                "defaultMode": 420,
            },
        }
    ]
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": name, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    ]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert spec["tolerations"] == LOST
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


def test_token_mounts(cluster: Any, new_pod: Any) -> None:
    """Init and app containers get the mount unless something is there; debug containers never."""
    own = {"name": "mine", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    pod = new_pod(
        initContainers=[{"name": "i", "image": "x"}],
        containers=[{"name": "c", "image": "x", "volumeMounts": [own]}, {"name": "d", "image": "x"}],
        volumes=[{"name": "mine"}],
    )
    spec = created(cluster, pod)["spec"]
    token = spec["volumes"][1]["name"]
    assert [[mount["name"] for mount in c["volumeMounts"]] for c in spec["initContainers"] + spec["containers"]] == [
        [token],
        ["mine"],
        [token],
    ]


@pytest.mark.parametrize(
    ("pod_value", "account_value", "mounted"),
    [(None, None, True), (False, None, False), (None, False, False), (True, False, True), (False, True, False)],
)
def test_token_opt_out(cluster: Any, new_pod: Any, pod_value: Any, account_value: Any, mounted: bool) -> None:
    """The pod decides about its token, then the service account, else it is mounted."""
    account: Any = {"metadata": {"name": "default", "namespace": "default"}}
    if account_value is not None:
        account["automountServiceAccountToken"] = account_value
    cluster.put("serviceaccounts", account)
    pod = new_pod() if pod_value is None else new_pod(automountServiceAccountToken=pod_value)
    assert ("volumes" in created(cluster, pod)["spec"]) is mounted


def test_image_pull_secrets(cluster: Any, new_pod: Any) -> None:
    """They come from the service account only where the pod has none."""
    account = {"metadata": {"name": "default", "namespace": "default"}, "imagePullSecrets": [{"name": "s"}]}
    cluster.put("serviceaccounts", account)
    assert created(cluster, new_pod())["spec"]["imagePullSecrets"] == [{"name": "s"}]
    own = new_pod(imagePullSecrets=[{"name": "mine"}])
    assert created(cluster, own)["spec"]["imagePullSecrets"] == [{"name": "mine"}]


def test_missing_service_account(cluster: Any, new_pod: Any) -> None:
    """403 that names the account."""
    error = refused(cluster, new_pod(serviceAccountName="ghost"))
    assert (error.code, error.message) == (
        403,
        'pods "p" is forbidden: error looking up service account default/ghost: serviceaccount "ghost" not found',
    )


@pytest.mark.parametrize(
    ("own", "added"),
    [
        ([{"operator": "Exists"}], []),
        ([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}], LOST[1:]),
        ([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule"}], LOST),
        ([{"key": "node.kubernetes.io/unreachable", "operator": "Exists"}], LOST[:1]),
    ],
)
def test_tolerations(cluster: Any, new_pod: Any, own: Any, added: Any) -> None:
    """A lost node is tolerated for five minutes unless the pod says something about it."""
    assert created(cluster, new_pod(tolerations=own))["spec"]["tolerations"] == own + added


def test_priority(cluster: Any, new_pod: Any) -> None:
    """The number comes from the class; a wrong number, a wrong policy and a missing class are 403."""
    cluster.put(PC, {"metadata": {"name": "high"}, "value": 7, "preemptionPolicy": "Never"})
    spec = created(cluster, new_pod(priorityClassName="high"))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (7, "Never")
    assert created(cluster, new_pod(priorityClassName="system-node-critical"))["spec"]["priority"] == 2000001000
    assert created(cluster, new_pod(priorityClassName="system-cluster-critical"))["spec"]["priority"] == 2000000000
    assert refused(cluster, new_pod(priorityClassName="x")).message == (
        'pods "p" is forbidden: no PriorityClass with name x was found'
    )
    assert refused(cluster, new_pod(priority=5)).message == (
        'pods "p" is forbidden: the integer value of priority (5) must not be provided in pod spec; '
        "priority admission controller computed 0 from the given PriorityClass name"
    )
    assert refused(cluster, new_pod(preemptionPolicy="Never")).code == 403


def test_global_default_priority(cluster: Any, new_pod: Any) -> None:
    """A default class gives its name and its number."""
    cluster.put(PC, {"metadata": {"name": "usual"}, "value": 3, "globalDefault": True})
    spec = created(cluster, new_pod())["spec"]
    assert (spec["priorityClassName"], spec["priority"]) == ("usual", 3)


def test_runtime_class(cluster: Any, new_pod: Any) -> None:
    """Overhead and scheduling rules are merged in, tolerations that another one covers left out; conflicts are 403."""
    toleration = {"key": "vm", "operator": "Exists"}
    covered = {
        "key": "node.kubernetes.io/not-ready",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 5,
    }
    scheduling = {"nodeSelector": {"kind": "vm"}, "tolerations": [toleration, covered]}
    cluster.put(
        RC,
        {
            "metadata": {"name": "vm"},
            "handler": "kata",
            "overhead": {"podFixed": {"memory": "1024Mi", "cpu": "0.25"}},
            "scheduling": scheduling,
        },
    )
    spec = created(cluster, new_pod(runtimeClassName="vm", nodeSelector={"a": "b"}))["spec"]
    assert spec["overhead"] == {"memory": "1Gi", "cpu": "250m"}
    assert spec["nodeSelector"] == {"a": "b", "kind": "vm"}
    assert spec["tolerations"] == [*LOST, toleration]
    own = {"memory": "1Gi", "cpu": "250m"}
    assert created(cluster, new_pod(runtimeClassName="vm", overhead=own))["spec"]["overhead"] == own
    cluster.put(RC, {"metadata": {"name": "plain"}, "handler": "runc"})
    assert "overhead" not in created(cluster, new_pod(runtimeClassName="plain"))["spec"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"runtimeClassName": "x"}, 'pod rejected: RuntimeClass "x" not found'),
        (
            {"runtimeClassName": "vm", "nodeSelector": {"kind": "x"}},
            "conflict: runtimeClass.scheduling.nodeSelector[kind] = vm; pod.spec.nodeSelector[kind] = x",
        ),
        (
            {"runtimeClassName": "vm", "overhead": {"cpu": "1"}},
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            {"overhead": {"cpu": "1"}},
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            {"runtimeClassName": "plain", "overhead": {"cpu": "1"}},
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
    ],
)
def test_refused_runtime_classes(cluster: Any, new_pod: Any, spec: Any, why: str) -> None:
    """What a runtime class rules out is 403 with the reason, a class that is not there first of all."""
    scheduling = {"nodeSelector": {"kind": "vm"}}
    fixed = {"podFixed": {"cpu": "250m"}}
    cluster.put(RC, {"metadata": {"name": "vm"}, "handler": "kata", "overhead": fixed, "scheduling": scheduling})
    cluster.put(RC, {"metadata": {"name": "plain"}, "handler": "runc"})
    error = refused(cluster, new_pod(**spec))
    assert (error.code, error.reason, error.message) == (403, "Forbidden", f'pods "p" is forbidden: {why}')
    assert error.details == {"name": "p", "kind": "pods"}


def updated(cluster: Any, old: Any, change: Any) -> Any:
    """What an update of the main resource makes of `old` with some spec fields replaced (None: left out)."""
    new = copy.deepcopy(old)
    for name, value in change.items():
        if value is None:
            new["spec"].pop(name, None)
        else:
            new["spec"][name] = value
    HOOKS.prepare_update(new, old, cluster.context(), None)
    return new


def test_updates_are_admitted_before_they_are_compared(cluster: Any, new_pod: Any) -> None:
    """A manifest without what admission added is no change: tolerations, priority and preemption policy come back; new
    tolerations are added to, and what the user did change is refused as ever."""
    cluster.put(PC, {"metadata": {"name": "high"}, "value": 7, "preemptionPolicy": "Never"})
    own = [{"key": "k", "operator": "Exists"}]
    old = created(cluster, new_pod(tolerations=own, priorityClassName="high"))
    again = updated(cluster, old, {"tolerations": own, "priority": None, "preemptionPolicy": None})
    assert again == old and HOOKS.validate_update(again, old, None) == []
    more = [*own, {"key": "m", "operator": "Exists"}]
    wider = updated(cluster, old, {"tolerations": more})
    assert wider["spec"]["tolerations"] == [*more, *LOST] and HOOKS.validate_update(wider, old, None) == []
    fewer = updated(cluster, old, {"tolerations": []})
    assert [e.field for e in HOOKS.validate_update(fewer, old, None)] == ["spec.tolerations"]
    higher = updated(cluster, old, {"priority": 8})
    assert [e.field for e in HOOKS.validate_update(higher, old, None)] == ["spec"]
    cluster.remove(PC, "", "high")
    assert updated(cluster, old, {}) == old


def test_gated_pods_say_so_from_the_start(cluster: Any, new_pod: Any) -> None:
    """A pod with scheduling gates begins with PodScheduled False; gates are taken off, never added."""
    gated = created(cluster, new_pod(schedulingGates=[{"name": "a/b"}, {"name": "c/d"}]))
    assert gated["status"]["conditions"] == [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
    ]
    assert "conditions" not in created(cluster, new_pod())["status"]
    fewer = updated(cluster, gated, {"schedulingGates": [{"name": "c/d"}]})
    assert HOOKS.validate_update(fewer, gated, None) == []
    other = updated(cluster, gated, {"schedulingGates": [{"name": "e/f"}]})
    assert [str(error) for error in HOOKS.validate_update(other, gated, None)] == [
        "spec.schedulingGates[0]: Forbidden: only deletion is allowed, but found new scheduling gate 'e/f'"
    ]


def test_apparmor_annotations_become_fields(cluster: Any, new_pod: Any) -> None:
    """The annotation of older days sets the container's profile, with a warning; a field wins; rubbish stays and is warned
    about; the pod's own profile is not repeated."""
    prefix = "container.apparmor.security.beta.kubernetes.io/"

    def admitted(value: str, **spec: Any) -> tuple[Any, list[str]]:
        pod, ctx = new_pod(**spec), cluster.context()
        pod["metadata"]["annotations"] = {f"{prefix}c": value}
        HOOKS.prepare_create(pod, ctx)
        return pod["spec"]["containers"][0].get("securityContext"), ctx.warnings

    warned = [f'metadata.annotations[{prefix}c]: deprecated since v1.30; use the "appArmorProfile" field instead']
    profile = {"type": "Localhost", "localhostProfile": "strict"}
    assert admitted("localhost/strict") == ({"appArmorProfile": profile}, warned)
    assert admitted("unconfined") == ({"appArmorProfile": {"type": "Unconfined"}}, warned)
    assert admitted("localhost/") == (None, warned)
    of_pod = {"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}
    assert admitted("runtime/default", **of_pod) == (None, [])


def test_namespace(cluster: Any, new_pod: Any) -> None:
    """No namespace is 404, one that goes away 403 with its cause."""
    with pytest.raises(ApiError) as missing:
        HOOKS.prepare_create(new_pod(), cluster.context(namespace="ghost"))
    assert (missing.value.code, missing.value.message) == (404, 'namespaces "ghost" not found')
    cluster.put("namespaces", {"metadata": {"name": "ending", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}})
    with pytest.raises(ApiError) as ending:
        HOOKS.prepare_create(new_pod(), cluster.context(namespace="ending", name="p"))
    assert (ending.value.code, ending.value.message) == (
        403,
        'pods "p" is forbidden: unable to create new content in namespace ending because it is being terminated',
    )
    assert ending.value.details is not None
    assert ending.value.details["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": "namespace ending is being terminated",
            "field": "metadata.namespace",
        }
    ]


MIRROR = {"kubernetes.io/config.mirror": "hash"}


def test_mirror_pods(cluster: Any, new_pod: Any) -> None:
    """A mirror pod gets no service account, must have a node, and may not refer to API objects."""
    pod = new_pod(nodeName="node1")
    pod["metadata"]["annotations"] = MIRROR
    spec = created(cluster, pod)["spec"]
    assert "serviceAccountName" not in spec and "volumes" not in spec
    pod["spec"]["serviceAccountName"] = "x"
    assert refused(cluster, pod).message == 'pods "p" is forbidden: a mirror pod may not reference service accounts'
    pod["spec"] = new_pod(nodeName="node1", volumes=[{"name": "v", "secret": {"secretName": "s"}}])["spec"]
    assert refused(cluster, pod).message == 'pods "p" is forbidden: a mirror pod may not reference secrets'
    loose = new_pod()
    loose["metadata"]["annotations"] = MIRROR
    HOOKS.prepare_create(loose, cluster.context())
    assert [str(e) for e in HOOKS.validate_create(loose)] == [
        'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "hash": '
        "must set spec.nodeName if mirror pod annotation is set"
    ]


def test_zone_labels(cluster: Any, new_pod: Any) -> None:
    """A pod takes over its node's zone and region, when it is created on it and when it is bound to it."""
    labels = {"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r", "other": "x"}
    cluster.put("nodes", {"metadata": {"name": "node1", "labels": labels}})
    expected = {"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"}
    assert created(cluster, new_pod(nodeName="node1"))["metadata"]["labels"] == expected
    old = created(cluster, new_pod())
    new = copy.deepcopy(old)
    new["spec"]["nodeName"] = "node1"
    HOOKS.prepare_update(new, old, cluster.context(), "binding")
    assert new["metadata"]["labels"] == expected
    assert HOOKS.validate_update(new, old, "binding") == []


def test_nulls_mean_absent(cluster: Any, new_pod: Any) -> None:
    """Explicit nulls are as good as nothing."""
    pod = new_pod(volumes=None, nodeSelector=None)
    pod["metadata"]["labels"] = None
    pod["spec"]["containers"][0]["command"] = None
    stored = created(cluster, pod)
    assert "command" not in stored["spec"]["containers"][0] and "nodeSelector" not in stored["spec"]
