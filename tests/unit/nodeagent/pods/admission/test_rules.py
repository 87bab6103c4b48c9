"""Node-side admission: docs/facts/pod-lifecycle.md 3.1, docs/facts/node-resources.md 4.5 and 5.9."""

import dataclasses
from typing import Any

import pytest
from lightkube.models.core_v1 import Taint

from nodeagent.pods.admission.fit import Shortage, shortages
from nodeagent.pods.admission.rules import AdmissionResult, NodeView, admit, evaluate
from nodeagent.pods.rules.model import StartFailure

NODE = NodeView(
    name="node-1",
    labels={"kubernetes.io/os": "linux", "zone": "a", "size": "5"},
    allocatable={"cpu": "4", "memory": "1Gi", "ephemeral-storage": "10Gi", "pods": "3", "example.com/gpu": "1"},
    kernel_version=(6, 1),
    declared_features=frozenset({"RestartAllContainersOnContainerExits"}),
)


def view(**changes: Any) -> NodeView:
    return dataclasses.replace(NODE, **changes)


def refusal(reason: str, message: str) -> StartFailure:
    return StartFailure(reason=reason, message=message)


def requests(**values: str) -> dict[str, Any]:
    return {"name": "main", "resources": {"requests": {key.replace("_", "-"): text for key, text in values.items()}}}


def test_a_pod_that_fits_is_admitted(kit: Any) -> None:
    """3.1: no refusal."""
    assert admit(kit.pod([requests(cpu="1")]), [kit.pod([requests(cpu="3")])], NODE) is None


CRITICAL = {"priority": 2_000_000_000}
TOLERATES = {"tolerations": [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]}


@pytest.mark.parametrize(
    ("pressures", "containers", "spec", "message"),
    [
        (("DiskPressure",), ["main"], {}, "The node had condition: [DiskPressure]. "),
        (("MemoryPressure", "PIDPressure"), ["main"], {}, "The node had condition: [MemoryPressure PIDPressure]. "),
        (("DiskPressure",), ["main"], CRITICAL, None),
        (("MemoryPressure",), ["main"], {}, "The node had condition: [MemoryPressure]. "),
        (("MemoryPressure",), [requests(cpu="1")], {}, None),
        (("MemoryPressure",), ["main"], TOLERATES, None),
        (
            ("MemoryPressure", "DiskPressure"),
            ["main"],
            TOLERATES,
            "The node had condition: [MemoryPressure DiskPressure]. ",
        ),
    ],
)
def test_1_node_pressure(kit: Any, pressures: Any, containers: Any, spec: Any, message: str | None) -> None:
    """3.1 (1), 5.9."""
    expected = None if message is None else refusal("Evicted", message)
    assert admit(kit.pod(containers, **spec), [], view(pressures=pressures)) == expected


@pytest.mark.parametrize(
    ("name", "spec", "changes", "message"),
    [
        ("kernel.shm_rmid_forced", {}, {}, None),
        ("net/ipv4/tcp_syncookies", {}, {}, None),
        ("net.ipv4.tcp_rmem", {}, {}, None),
        ("net.ipv4.tcp_rmem", {}, {"kernel_version": (4, 14)}, 'forbidden sysctl: "net.ipv4.tcp_rmem" not allowlisted'),
        ("kernel.msgmax", {}, {}, 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        ("kernel.msgmax", {}, {"allowed_unsafe_sysctls": ["kernel.msg*"]}, None),
        (
            "kernel.msgmax",
            {},
            {"allowed_unsafe_sysctls": ["kernel.msgmni"]},
            'forbidden sysctl: "kernel.msgmax" not allowlisted',
        ),
        (
            "net.ipv4.tcp_syncookies",
            {"hostNetwork": True},
            {},
            'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled',
        ),
        (
            "kernel.shm_rmid_forced",
            {"hostIPC": True},
            {},
            'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host ipc enabled',
        ),
    ],
)
def test_2_sysctls(kit: Any, name: str, spec: Any, changes: Any, message: str | None) -> None:
    """3.1 (2), 11.5."""
    pod = kit.pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec)
    expected = None if message is None else refusal("SysctlForbidden", message)
    assert admit(pod, [], view(**changes)) == expected


@pytest.mark.parametrize(
    ("pod", "changes", "expected"),
    [
        ({}, {"known": False}, refusal("InvalidNodeInfo", "Kubelet cannot get node info.")),
        (
            {"meta": {"labels": {"kubernetes.io/os": "windows"}}},
            {},
            refusal(
                "PodOSSelectorNodeLabelDoesNotMatch",
                "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
            ),
        ),
        ({"meta": {"labels": {"kubernetes.io/os": "linux"}}}, {}, None),
        (
            {"os": {"name": "windows"}},
            {},
            refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"),
        ),
        (
            {"securityContext": {"supplementalGroupsPolicy": "Strict"}},
            {"supplemental_groups_policy": False},
            refusal(
                "SupplementalGroupsPolicyNotSupported",
                "SupplementalGroupsPolicy=Strict is not supported in this node",
            ),
        ),
        ({"securityContext": {"supplementalGroupsPolicy": "Strict"}}, {}, None),
        (
            {"nodeName": "node-2"},
            {},
            refusal("NodeName", "Predicate NodeName failed: node(s) didn't match the requested node name"),
        ),
        ({"nodeName": "node-1"}, {}, None),
        (
            {},
            {"shutting_down": True},
            refusal("NodeShutdown", "Pod was rejected as the node is shutting down."),
        ),
        (
            {"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}},
            {"apparmor_error": "AppArmor is not enabled on the host"},
            refusal("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"),
        ),
        (
            {"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}, "status": {"phase": "Running"}},
            {"apparmor_error": "AppArmor is not enabled on the host"},
            None,  # only while status.phase is Pending
        ),
        (
            {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
            {"apparmor_error": "AppArmor is not enabled on the host"},
            None,
        ),
        (
            {"resources": {"requests": {"cpu": "1"}}},
            {"pod_level_resources": False},
            refusal("PodLevelResourcesNotSupported", "PodLevelResources feature gate is disabled"),
        ),
        ({"resources": {"requests": {"cpu": "1"}}}, {}, None),
        (
            {
                "containers": [
                    {
                        "name": "main",
                        "restartPolicyRules": [
                            {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}
                        ],
                        "restartPolicy": "Never",
                    }
                ]
            },
            {"declared_features": frozenset()},
            refusal(
                "PodFeatureUnsupported",
                "Pod requires node features that are not available: RestartAllContainersOnContainerExits",
            ),
        ),
        (
            {"hostUsers": False, "hostNetwork": True},
            {},
            refusal(
                "PodFeatureUnsupported",
                "Pod requires node features that are not available: UserNamespacesHostNetworkSupport",
            ),
        ),
    ],
)
def test_4_to_7_and_11_to_17(kit: Any, pod: Any, changes: Any, expected: StartFailure | None) -> None:
    """3.1: node, operating system, groups, name, AppArmor, features, shutdown."""
    assert admit(kit.pod(**pod), [], view(**changes)) == expected


@pytest.mark.parametrize(
    ("pod", "others", "expected"),
    [
        (requests(cpu="1"), [requests(cpu="3500m")], ("cpu", 1000, 3500, 4000)),
        (requests(cpu="500m"), [requests(cpu="3500m")], None),
        (requests(memory="1Gi"), [requests(memory="1")], ("memory", 1 << 30, 1, 1 << 30)),
        (requests(ephemeral_storage="11Gi"), [], ("ephemeral-storage", 11 << 30, 0, 10 << 30)),
        (requests(), [requests()] * 3, ("pods", 1, 3, 3)),
        (
            {"name": "main", "resources": {"requests": {"example.com/gpu": "1"}}},
            [{"name": "main", "resources": {"requests": {"example.com/gpu": "1"}}}],
            ("example.com/gpu", 1, 1, 1),
        ),
        (
            {"name": "main", "resources": {"requests": {"hugepages-2Mi": "4Mi"}}},
            [],
            ("hugepages-2Mi", 4 << 20, 0, 0),  # Kubernetes' own: missing is none, not nobody's business
        ),
        # extended resources unknown to the node are dropped
        ({"name": "main", "resources": {"requests": {"example.com/fpga": "9"}}}, [], None),
    ],
)
def test_9_resource_fit(kit: Any, pod: Any, others: Any, expected: Any) -> None:
    """3.1 (9), 4.5: `OutOf<resource>`, requested, used and capacity, CPU in thousandths."""
    found = admit(kit.pod([pod]), [kit.pod([other]) for other in others], NODE)
    if expected is None:
        assert found is None
        return
    resource, requested, used, capacity = expected
    assert found == refusal(
        f"OutOf{resource}",
        f"Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}",
    )


def test_9_all_shortages_are_collected_in_order(kit: Any) -> None:
    """3.1 (9), 4.5: pods, cpu, memory, ephemeral-storage, others; overhead counts."""
    pod = kit.pod([requests(memory="2Gi", cpu="5")], overhead={"cpu": "250m"})
    assert shortages(pod, [kit.pod([requests(cpu="1")])] * 3, NODE.allocatable) == [
        Shortage(resource="pods", requested=1, used=3, capacity=3),
        Shortage(resource="cpu", requested=5250, used=3000, capacity=4000),
        Shortage(resource="memory", requested=2 << 30, used=0, capacity=1 << 30),
    ]


@pytest.mark.parametrize(
    ("spec", "room_made", "expected"),
    [
        # what a node has too little of counts first, unless the pod is critical: then the rest decides
        ({"nodeSelector": {"zone": "b"}}, False, ("OutOfcpu", [], False)),
        ({"nodeSelector": {"zone": "b"}, **CRITICAL}, False, ("NodeAffinity", [], True)),
        ({"nodeSelector": {"zone": "b"}, "nodeName": "x", **CRITICAL}, False, ("NodeAffinity", [], False)),
        (CRITICAL, False, ("OutOfcpu", ["cpu", "memory"], False)),
        (CRITICAL, True, (None, [], False)),
        ({"os": {"name": "windows"}, **CRITICAL}, False, ("PodOSNotSupported", [], False)),
        ({"hostUsers": False, "hostNetwork": True, **CRITICAL}, True, ("PodFeatureUnsupported", [], False)),
    ],
)
def test_9_what_may_still_turn_a_refusal(kit: Any, spec: Any, room_made: bool, expected: Any) -> None:
    """4.6: room is made only where nothing but room is missing; 3.1 (10): labels are read again where they alone refuse."""
    found: AdmissionResult = evaluate(kit.pod([requests(cpu="9", memory="2Gi")], **spec), [], NODE, room_made=room_made)
    reason = found.refusal.reason if found.refusal is not None else None
    assert (reason, [item.resource for item in found.shortages], found.stale_node) == expected


def _affinity(*terms: Any) -> dict[str, Any]:
    return {
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
        }
    }


def _expressions(*items: tuple[str, str, list[str]]) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": op, "values": values} for key, op, values in items]}


@pytest.mark.parametrize(
    ("spec", "matches"),
    [
        ({}, True),
        ({"nodeSelector": {"zone": "a"}}, True),
        ({"nodeSelector": {"zone": "b"}}, False),
        ({"nodeSelector": {"none": ""}}, False),
        (_affinity(_expressions(("zone", "In", ["b", "a"]))), True),
        (_affinity(_expressions(("zone", "In", ["b"]))), False),
        (_affinity(_expressions(("none", "In", ["b"]))), False),
        (_affinity(_expressions(("zone", "NotIn", ["b"]))), True),
        (_affinity(_expressions(("none", "NotIn", ["b"]))), True),
        (_affinity(_expressions(("zone", "NotIn", ["a"]))), False),
        (_affinity(_expressions(("zone", "Exists", []))), True),
        (_affinity(_expressions(("none", "Exists", []))), False),
        (_affinity(_expressions(("none", "DoesNotExist", []))), True),
        (_affinity(_expressions(("zone", "DoesNotExist", []))), False),
        (_affinity(_expressions(("size", "Gt", ["4"]))), True),
        (_affinity(_expressions(("size", "Gt", ["5"]))), False),
        (_affinity(_expressions(("size", "Lt", ["6"]))), True),
        (_affinity(_expressions(("size", "Lt", ["5"]))), False),
        (_affinity(_expressions(("zone", "Gt", ["4"]))), False),  # not a number
        (_affinity(_expressions(("none", "Lt", ["4"]))), False),
        # requirements of a term all hold, terms are alternatives, an empty term matches nothing
        (_affinity(_expressions(("zone", "In", ["a"]), ("size", "In", ["4"]))), False),
        (_affinity(_expressions(("zone", "In", ["b"])), _expressions(("size", "In", ["5"]))), True),
        (_affinity({}), False),
        (_affinity(), False),
        (_affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}), True),
        (_affinity({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node-1"]}]}), False),
        # both have to hold
        ({"nodeSelector": {"zone": "b"}, **_affinity(_expressions(("zone", "Exists", [])))}, False),
    ],
)
def test_10_node_affinity_and_selector(kit: Any, spec: Any, matches: bool) -> None:
    """3.1 (10): every operator."""
    message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    assert admit(kit.pod(**spec), [], NODE) == (None if matches else refusal("NodeAffinity", message))


def _port(port: int, protocol: str | None = None, ip: str | None = None) -> dict[str, Any]:
    return {"name": "main", "ports": [{"containerPort": 80, "hostPort": port, "protocol": protocol, "hostIP": ip}]}


@pytest.mark.parametrize(
    ("mine", "theirs", "clash"),
    [
        (_port(80), _port(80), True),
        (_port(80), _port(81), False),
        (_port(80), _port(80, "UDP"), False),
        (_port(80, "TCP"), _port(80), True),
        (_port(80, ip="1.1.1.1"), _port(80), True),
        (_port(80, ip="1.1.1.1"), _port(80, ip="0.0.0.0"), True),
        (_port(80, ip="1.1.1.1"), _port(80, ip="2.2.2.2"), False),
        ({"name": "main", "ports": [{"containerPort": 80}]}, _port(80), False),
    ],
)
def test_12_host_ports(kit: Any, mine: Any, theirs: Any, clash: bool) -> None:
    """3.1 (12)."""
    message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
    assert admit(kit.pod([mine]), [kit.pod([theirs])], NODE) == (refusal("NodePorts", message) if clash else None)


@pytest.mark.parametrize(
    ("effect", "pod", "refused"),
    [
        ("NoExecute", {}, True),
        ("NoSchedule", {}, False),
        ("NoExecute", {"meta": {"annotations": {"kubernetes.io/config.source": "file"}}}, False),
        ("NoExecute", {"tolerations": [{"operator": "Exists"}]}, False),
    ],
)
def test_13_taints(kit: Any, effect: str, pod: Any, refused: bool) -> None:
    """3.1 (13): NoExecute only, static pods exempt."""
    message = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
    node = view(taints=[Taint(key="k", value="v", effect=effect)])
    assert admit(kit.pod(**pod), [], node) == (refusal("TaintToleration", message) if refused else None)


def test_the_first_refusal_in_order_wins(kit: Any) -> None:
    """3.1: each check stands before the next, when all would refuse."""
    pod = kit.pod(
        [{**requests(cpu="9"), "ports": [{"containerPort": 1, "hostPort": 80}]}],
        os={"name": "windows"},
        nodeSelector={"zone": "b"},
        nodeName="node-2",
        meta={"labels": {"kubernetes.io/os": "windows"}},
        securityContext={
            "sysctls": [{"name": "x.y", "value": "1"}],
            "supplementalGroupsPolicy": "Strict",
            "appArmorProfile": {"type": "RuntimeDefault"},
        },
        hostUsers=False,
        hostNetwork=True,
        resources={"limits": {"cpu": "10"}},
    )
    changes: dict[str, Any] = {
        "pressures": ("DiskPressure",),
        "known": False,
        "supplemental_groups_policy": False,
        "taints": [Taint(key="k", effect="NoExecute")],
        "apparmor_error": "no",
        "shutting_down": True,
        "pod_level_resources": False,
    }
    others = [kit.pod([_port(80)])]
    fixes: list[tuple[str, Any]] = [
        ("Evicted", lambda: changes.pop("pressures")),
        ("SysctlForbidden", lambda: pod.spec.securityContext.sysctls.clear()),
        ("InvalidNodeInfo", lambda: changes.pop("known")),
        ("PodOSSelectorNodeLabelDoesNotMatch", lambda: pod.metadata.labels.clear()),
        ("PodOSNotSupported", lambda: setattr(pod.spec, "os", None)),
        ("SupplementalGroupsPolicyNotSupported", lambda: changes.pop("supplemental_groups_policy")),
        ("OutOfcpu", lambda: pod.spec.containers[0].resources.requests.clear()),
        ("NodeAffinity", lambda: pod.spec.nodeSelector.clear()),
        ("NodeName", lambda: setattr(pod.spec, "nodeName", None)),
        ("NodePorts", others.clear),
        ("TaintToleration", lambda: changes.pop("taints")),
        ("AppArmor", lambda: changes.pop("apparmor_error")),
        ("PodLevelResourcesNotSupported", lambda: changes.pop("pod_level_resources")),
        ("PodFeatureUnsupported", lambda: setattr(pod.spec, "hostUsers", None)),
        ("NodeShutdown", lambda: changes.pop("shutting_down")),
    ]
    reasons = []
    for _, fix in fixes:
        found = admit(
            dataclasses.replace(pod), others, view(**changes)
        )  # another pod each time: what one asks for is added up once
        reasons.append(found.reason if found else None)
        fix()
    assert reasons == [reason for reason, _ in fixes]
    assert admit(pod, others, view(**changes)) is None
