"""Which node takes a pod, and what is said when none does."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.apiserver.kinds.pods.typed_spec import scheduling_spec
from nodeagent.apiserver.kinds.scheduling.fit import Usage, demand, explain, node_info, refusal, unresolvable

NODE = {
    "metadata": {"name": "n", "labels": {"disk": "ssd", "cores": "8"}},
    "spec": {},
    "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3", "a.com/gpu": "1"}},
}


def pod(cpu: str = "", **spec: Any) -> Any:
    container: Any = {"name": "c", "resources": {"requests": {"cpu": cpu}} if cpu else {}}
    return {"containers": [container], **spec}


def asked(spec: Any, *others: Any, node: Any = NODE) -> list[str]:
    usage = Usage()
    for other in others:
        usage.take(demand(scheduling_spec(other)))
    typed = scheduling_spec(spec)
    found = refusal(typed, demand(typed), node_info(node), usage)
    return list(found.reasons) if found else []


def with_port(number: int, ip: str = "", protocol: str = "TCP") -> Any:
    port = {"containerPort": 1, "hostPort": number, "hostIP": ip, "protocol": protocol}
    return {"containers": [{"name": "c", "ports": [port]}]}


AFFINITY = "node(s) didn't match Pod's node affinity/selector"
PORTS = "node(s) didn't have free ports for the requested pod ports"


def affinity(*expressions: Any, fields: Any = ()) -> Any:
    term = {"matchExpressions": list(expressions), "matchFields": list(fields)}
    required = {"nodeSelectorTerms": [term]}
    return pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})


@pytest.mark.parametrize(
    ("spec", "others", "reasons"),
    [
        (pod("2"), [], []),
        (pod("2"), [pod("1m")], ["Insufficient cpu"]),
        (pod("3"), [], ["Insufficient cpu"]),
        (pod(), [pod(), pod()], []),
        (pod(), [pod(), pod(), pod()], ["Too many pods"]),
        (pod("3"), [pod(), pod(), pod()], ["Too many pods", "Insufficient cpu"]),
        ({"containers": [{"resources": {"requests": {"a.com/gpu": "1"}}}]}, [], []),
        ({"containers": [{"resources": {"requests": {"b.com/gpu": "1"}}}]}, [], ["Insufficient b.com/gpu"]),
        (pod("1", overhead={"cpu": "1500m"}), [], ["Insufficient cpu"]),
        (pod("1", initContainers=[{"name": "i", "resources": {"requests": {"cpu": "3"}}}]), [], ["Insufficient cpu"]),
        (pod(nodeSelector={"disk": "ssd"}), [], []),
        (pod(nodeSelector={"disk": "hdd"}), [], [AFFINITY]),
        (affinity({"key": "disk", "operator": "In", "values": ["ssd", "nvme"]}), [], []),
        (affinity({"key": "disk", "operator": "NotIn", "values": ["ssd"]}), [], [AFFINITY]),
        (affinity({"key": "x", "operator": "DoesNotExist"}, {"key": "disk", "operator": "Exists"}), [], []),
        (affinity({"key": "cores", "operator": "Gt", "values": ["4"]}), [], []),
        (affinity({"key": "cores", "operator": "Lt", "values": ["8"]}), [], [AFFINITY]),
        (affinity(fields=[{"key": "metadata.name", "operator": "In", "values": ["n"]}]), [], []),
        (affinity(fields=[{"key": "metadata.name", "operator": "In", "values": ["m"]}]), [], [AFFINITY]),
        (affinity(), [], [AFFINITY]),
        (with_port(80), [with_port(81)], []),
        (with_port(80), [with_port(80, protocol="UDP")], []),
        (with_port(80), [with_port(80, "1.2.3.4")], [PORTS]),
        (with_port(80, "1.2.3.4"), [with_port(80, "1.2.3.5")], []),
    ],
)
def test_refusals(spec: Any, others: Any, reasons: list[str]) -> None:
    """Each check by itself, in the words of the scheduler."""
    assert asked(spec, *others) == reasons


def tainted(*taints: Any, **spec: Any) -> Any:
    return {**NODE, "spec": {"taints": list(taints), **spec}}


NO_SCHEDULE = {"key": "a", "value": "b", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("tolerations", "node", "reasons"),
    [
        ([], tainted(NO_SCHEDULE), ["node(s) had untolerated taint {a: b}"]),
        ([{"key": "a", "operator": "Exists"}], tainted(NO_SCHEDULE), []),
        ([{"key": "a", "value": "b"}], tainted(NO_SCHEDULE), []),
        ([{"key": "a", "value": "c"}], tainted(NO_SCHEDULE), ["node(s) had untolerated taint {a: b}"]),
        ([], tainted({"key": "x", "effect": "NoExecute"}), ["node(s) had untolerated taint {x: }"]),
        ([], tainted({"key": "x", "effect": "PreferNoSchedule"}), []),
        ([{"operator": "Exists"}], tainted(NO_SCHEDULE, unschedulable=True), []),
        ([], tainted(unschedulable=True), ["node(s) were unschedulable"]),
        ([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}], tainted(unschedulable=True), []),
    ],
)
def test_taints(tolerations: Any, node: Any, reasons: list[str]) -> None:
    """NoSchedule and NoExecute taints keep a pod away unless it tolerates them; so does a cordon."""
    assert asked(pod(tolerations=tolerations), node=node) == reasons


def test_messages() -> None:
    """The sentence of a FailedScheduling event, with what preemption could do about it."""
    full, small = Usage(), Usage()
    full.take(demand(scheduling_spec(pod("2"))))
    node, little, much = node_info(NODE), scheduling_spec(pod("1")), scheduling_spec(pod("9"))
    busy = refusal(little, demand(little), node, full)
    hopeless = refusal(much, demand(much), node, small)
    assert busy is not None and hopeless is not None
    assert explain([busy]) == (
        "0/1 nodes are available: 1 Insufficient cpu. "
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )
    assert explain([hopeless]) == (
        "0/1 nodes are available: 1 Insufficient cpu. "
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    assert explain([busy], never_preempts=True) == (
        "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
    )
    assert explain([]) == "no nodes available to schedule pods"
    assert unresolvable(1, 'persistentvolumeclaim "x" not found') == (
        '0/1 nodes are available: persistentvolumeclaim "x" not found. '
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )


@given(st.lists(st.integers(1, 3000), max_size=6))
def test_never_over_allocatable(sizes: list[int]) -> None:
    """Whatever the order, the pods that were let in fit together."""
    for order in itertools.islice(itertools.permutations(sizes), 6):
        usage, inside = Usage(), 0
        for size in order:
            spec = scheduling_spec(pod(f"{size}m"))
            if refusal(spec, demand(spec), node_info(NODE), usage) is None:
                usage.take(demand(spec))
                inside += size
        assert inside <= 2000 and usage.pods <= 3
