"""Warnings about new pods, in the words of a kube-apiserver."""

from typing import Any

import pytest

from nodeagent.apiserver.kinds import hooks_for
from nodeagent.apiserver.kinds.pods.tolerations import merge_tolerations

HOOKS = hooks_for("pods")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NO_MATCH = "a null labelSelector results in matching no pod"
OS = 'deprecated since v1.14; use "kubernetes.io/os" instead'


@pytest.fixture
def warned(cluster: Any, new_pod: Any) -> Any:
    """The warnings about a pod with these spec fields, container fields and annotations, once it is admitted."""
    cluster.put("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})

    def of(spec: Any = None, container: Any = None, annotations: Any = None, name: str = "p") -> list[str]:
        pod = new_pod(**(spec or {}))
        pod["metadata"] |= {"name": name, "annotations": annotations or {}}
        pod["spec"]["containers"][0] |= container or {}
        ctx = cluster.context()
        HOOKS.prepare_create(pod, ctx)
        assert HOOKS.validate_create(pod) == []
        return [*ctx.warnings, *HOOKS.warnings(pod, None, None)]

    return of


def expression(key: str, *values: str) -> Any:
    return {"matchExpressions": [{"key": key, "operator": "In", "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"terminationGracePeriodSeconds": -1}, []),
        ({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}, [f"spec.nodeSelector[beta.kubernetes.io/os]: {OS}"]),
        (
            {
                "affinity": {
                    "nodeAffinity": {
                        REQUIRED: {"nodeSelectorTerms": [expression("node-role.kubernetes.io/master", "x")]},
                        PREFERRED: [{"weight": 1, "preference": expression("kubernetes.io/os", "-x")}],
                    }
                }
            },
            [
                f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key: "
                'node-role.kubernetes.io/master is use "node-role.kubernetes.io/control-plane" instead',
                f"spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0].values[0]: -x is invalid, a valid "
                "label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
                "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
                "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ],
        ),
        (
            {
                "topologySpreadConstraints": [
                    {
                        "maxSkew": 1,
                        "topologyKey": "failure-domain.beta.kubernetes.io/zone",
                        "whenUnsatisfiable": "DoNotSchedule",
                    }
                ]
            },
            [
                "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since "
                'v1.17; use "topology.kubernetes.io/zone" instead',
                f"spec.topologySpreadConstraints[0].labelSelector: {NO_MATCH}",
            ],
        ),
        (
            {
                "affinity": {
                    "podAffinity": {REQUIRED: [{"topologyKey": "a"}, {"topologyKey": "a", "labelSelector": {}}]},
                    "podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": {"topologyKey": "a"}}]},
                }
            },
            [
                f"spec.affinity.podAffinity.{REQUIRED}[0].labelSelector: {NO_MATCH}",
                f"spec.affinity.podAntiAffinity.{PREFERRED}[0].podAffinityTerm.labelSelector: {NO_MATCH}",
            ],
        ),
        (
            {
                "volumes": [
                    {"name": "g", "gitRepo": {"repository": "r"}},
                    {"name": "f", "rbd": {"image": "i", "monitors": ["m"]}},
                ]
            },
            [
                "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
                "spec.volumes[1].rbd: deprecated in v1.28, non-functional in v1.31+",
            ],
        ),
        (
            {
                "volumes": [
                    {
                        "name": "e",
                        "ephemeral": {
                            "volumeClaimTemplate": {
                                "spec": {
                                    "accessModes": ["ReadWriteOnce"],
                                    "resources": {"requests": {"storage": "1500m"}},
                                }
                            }
                        },
                    }
                ]
            },
            [
                "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "
                '"1500m" is invalid, must be an integer'
            ],
        ),
        (
            {"hostAliases": [{"ip": "1.1.1.1", "hostnames": ["a"]}, {"ip": "1.1.1.1", "hostnames": ["b"]}]},
            ['spec.hostAliases[1].ip: duplicate ip "1.1.1.1"'],
        ),
        (
            {"imagePullSecrets": [{"name": "a"}, {"name": "b"}, {"name": "a"}]},
            ['spec.imagePullSecrets[2].name: duplicate name "a"'],
        ),
    ],
)
def test_spec(warned: Any, spec: Any, expected: list[str]) -> None:
    """Old node labels, selectors that match nothing, volume kinds that are gone, repeated list keys, part bytes."""
    assert warned(spec) == expected


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]}, []),
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, [1]),
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)"}]}, [1]),
        (
            {
                "env": [
                    {"name": "A"},
                    {"name": "B"},
                    {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ]
            },
            [2],
        ),
        ({"env": [{"name": "A"}, {"name": "A"}, {"name": "A"}]}, [1, 2]),
    ],
)
def test_hidden_variables(warned: Any, container: Any, expected: list[int]) -> None:
    """A variable that is defined again without building on the first one hides it."""
    why = 'hides previous definition of "A", which may be dropped when using apply'
    assert warned({}, container) == [f"spec.containers[0].env[{index}]: {why}" for index in expected]


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ({"containerPort": 80}, {"containerPort": 80, "name": "x"}, "duplicate port definition with"),
        ({"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}, ""),
        ({"containerPort": 80}, {"containerPort": 80, "hostPort": 8080}, "overlapping port definition with"),
        ({"containerPort": 80, "hostPort": 81}, {"containerPort": 80, "hostPort": 82}, ""),
        (
            {"containerPort": 80, "hostPort": 81},
            {"containerPort": 80, "hostPort": 81, "hostIP": "1.1.1.1"},
            "dangerously ambiguous port definition with",
        ),
    ],
)
def test_ports(warned: Any, first: Any, second: Any, text: str) -> None:
    """Ports that are said twice, in one container or in two, init containers first."""
    expected = [f"spec.containers[0].ports[1]: {text} spec.containers[0].ports[0]"] if text else []
    assert warned({}, {"ports": [first, second]}) == expected
    init = [{"name": "i", "image": "x", "restartPolicy": "Always", "ports": [first]}]
    expected = [f"spec.containers[0].ports[0]: {text} spec.initContainers[0].ports[0]"] if text else []
    assert warned({"initContainers": init}, {"ports": [second]}) == expected


def test_host_address_without_port(warned: Any) -> None:
    """A host address alone binds nothing."""
    assert warned({}, {"ports": [{"name": "w", "containerPort": 80, "hostIP": "127.0.0.1"}]}) == [
        "spec.containers[0].ports[0]: hostIP set without hostPort: "
        "{Name:w HostPort:0 ContainerPort:80 Protocol:TCP HostIP:127.0.0.1}"
    ]


def test_part_bytes(warned: Any) -> None:
    """Memory and ephemeral storage in thousandths, in limits, and in the requests that come of them."""
    limits = {"memory": "1.5", "ephemeral-storage": "100m", "cpu": "100m"}
    path, tail = "spec.containers[0].resources", "is invalid, must be an integer"
    assert warned({}, {"resources": {"limits": limits, "requests": {"ephemeral-storage": "0"}}}) == [
        f'{path}.limits[memory]: fractional byte value "1500m" {tail}',
        f'{path}.requests[memory]: fractional byte value "1500m" {tail}',
        f'{path}.limits[ephemeral-storage]: fractional byte value "100m" {tail}',
    ]


def test_annotations(warned: Any) -> None:
    """Annotations of older days that do nothing, each with what to use instead; a field in its place is silent."""
    seccomp = 'non-functional in v1.27+; use the "seccompProfile" field instead'
    annotations = {
        "scheduler.alpha.kubernetes.io/critical-pod": "",
        "security.alpha.kubernetes.io/sysctls": "a=b",
        "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
        "container.seccomp.security.alpha.kubernetes.io/c": "unconfined",
    }
    critical, sysctls, pod, container = (f"metadata.annotations[{key}]" for key in annotations)
    always = [
        f'{critical}: non-functional in v1.16+; use the "priorityClassName" field instead',
        f'{sysctls}: non-functional in v1.11+; use the "sysctls" field instead',
    ]
    assert warned(annotations=annotations) == [*always, f"{pod}: {seccomp}", f"{container}: {seccomp}"]
    profile = {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}
    assert warned(profile, profile, annotations) == always


def test_name(warned: Any) -> None:
    """A name that is no DNS label makes a surprising hostname."""
    (text,) = warned(name="a.b")
    assert text.startswith(
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is "
        "recommended: [a lowercase RFC 1123 label must consist of"
    )


def items(*paths: str) -> list[Any]:
    return [{"key": "k", "path": path} for path in paths]


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({"configMap": {"name": "m", "items": items("a", "ab", "b/a")}}, []),
        (
            {"configMap": {"name": "m", "items": items("a", "a/b")}},
            ['volume "v" (ConfigMap "m"): overlapping paths: "a/b" with "a"'],
        ),
        (
            {"secret": {"secretName": "s", "items": items("a", "a/")}},
            ['volume "v" (Secret "s"): overlapping paths: "a" with "a"'],
        ),
        (
            {
                "projected": {
                    "sources": [
                        {"configMap": {"name": "m", "items": items("x")}},
                        {"secret": {"name": "s", "items": items("x/y")}},
                        {"serviceAccountToken": {"path": "x"}},
                    ]
                }
            },
            [
                'volume "v" (Projected): overlapping paths: "x/y" (Secret "s") with "x" (ConfigMap "m")',
                'volume "v" (Projected): overlapping paths: "x" (ServiceAccountToken) with "x" (ConfigMap "m")',
                'volume "v" (Projected): overlapping paths: "x" (ServiceAccountToken) with "x/y" (Secret "s")',
            ],
        ),
    ],
)
def test_overlapping_paths(warned: Any, volume: Any, expected: list[str]) -> None:
    """Files of one volume that take each other's place."""
    assert warned({"volumes": [{"name": "v", **volume}]}) == expected


def test_updates_are_silent(cluster: Any, new_pod: Any) -> None:
    """A pod's update warns of nothing, but a status with odd addresses does."""
    pod = new_pod(nodeSelector={"beta.kubernetes.io/os": "linux"})
    assert HOOKS.warnings(pod, pod, None) == []
    pod["status"] = {"podIPs": [{"ip": "fd00::0001"}], "hostIPs": [{"ip": "::ffff:1.2.3.4"}, {"ip": "10.0.0.1"}]}
    assert HOOKS.warnings(pod, pod, "status") == [
        'status.podIPs[0].ip: IPv6 address "fd00::0001" should be in RFC 5952 canonical format ("fd00::1")',
        'status.hostIPs[0].ip: non-standard IP address "::ffff:1.2.3.4" will be considered invalid in a future Kubernetes '
        'release: use "1.2.3.4"',
    ]


def toleration(key: str = "", effect: str = "", seconds: int | None = None, value: str | None = None) -> Any:
    made: Any = {"key": key} if key else {}
    made["operator"] = "Exists" if value is None else "Equal"
    if value is not None:
        made["value"] = value
    if effect:
        made["effect"] = effect
    if seconds is not None:
        made["tolerationSeconds"] = seconds
    return made


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ([toleration("a")], [toleration("b")], [toleration("a"), toleration("b")]),
        ([toleration("a")], [toleration("a")], [toleration("a")]),
        ([toleration("a", "NoExecute")], [toleration("a")], [toleration("a")]),
        ([toleration()], [toleration("a"), toleration("b", value="x")], [toleration()]),
        (
            [toleration("a", value="x")],
            [toleration("a", value="y")],
            [toleration("a", value="x"), toleration("a", value="y")],
        ),
        ([toleration("a", "NoExecute", 5)], [toleration("a", "NoExecute", 9)], [toleration("a", "NoExecute", 9)]),
        ([toleration("a", "NoExecute")], [toleration("a", "NoExecute", 9)], [toleration("a", "NoExecute")]),
    ],
)
def test_merged_tolerations(first: Any, second: Any, merged: Any) -> None:
    """What another toleration covers for as long is left out, whichever list it comes from."""
    assert merge_tolerations(first, second) == merged
