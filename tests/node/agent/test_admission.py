"""What a node refuses, and whom it ends for a critical pod, as kubectl sees it. docs/facts/pod-lifecycle.md 3.1."""

from collections.abc import Callable
from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually, pod_object

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-admission")]

SLEEP = ("sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait")


def bound(node: NodeUnderTest, name: str, **spec: Any) -> dict[str, Any]:
    """A pod that the scheduler has no say in."""
    return pod_object(name, *SLEEP, nodeName=node.name, automountServiceAccountToken=False, **spec)


def refused(node: NodeUnderTest, name: str) -> tuple[str, str, str]:
    status = node.pod_when(name, lambda pod: pod["status"]["phase"] == "Failed")["status"]
    assert "containerStatuses" not in status
    assert status.get("conditions", []) == []
    return status["phase"], status["reason"], status["message"]


def test_a_node_that_is_full(own_node: Callable[..., NodeUnderTest]) -> None:
    """The reasons in the pod's status and in an event; a critical pod takes the place of another one, which ends as
    preempted; after a restart pods are judged again, oldest first, and a running one can be refused."""
    node = own_node(kubelet={"maxPods": 2})
    node.start()
    node.apply(bound(node, "first"), bound(node, "second", priorityClassName="system-cluster-critical"))
    first = node.running("first")
    node.running("second")

    node.apply(bound(node, "late"))
    message = "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2"
    assert refused(node, "late") == ("Failed", "OutOfpods", f"Pod was rejected: {message}")
    assert node.event_when("late", "OutOfpods") == message
    sysctls = {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}
    profile = {"appArmorProfile": {"type": "RuntimeDefault"}}
    node.apply(bound(node, "unsafe", securityContext=sysctls))
    assert refused(node, "unsafe")[1:] == (
        "SysctlForbidden",
        'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted',
    )

    node.apply(bound(node, "critical", priorityClassName="system-node-critical"))
    node.running("critical")
    status = node.pod("first")["status"]
    assert (status["phase"], status["reason"], status["message"]) == (
        "Failed",
        "Preempting",
        "Preempted in order to admit critical pod",
    )
    target = next(item for item in status["conditions"] if item["type"] == "DisruptionTarget")
    assert (target["status"], target["reason"], target["message"]) == (
        "True",
        "TerminationByKubelet",
        "Pod was preempted by Kubelet to accommodate a critical pod.",
    )
    assert node.event_when("first", "Preempting") == "Preempted in order to admit critical pod"
    assert first["status"]["containerStatuses"][0]["containerID"] == status["containerStatuses"][0]["containerID"]

    node.kubectl("delete", "pod", "critical", "--grace-period=1")
    node.apply(bound(node, "armoured", securityContext=profile))
    assert refused(node, "armoured")[1:] == (
        "AppArmor",
        "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host",
    )
    node.apply(bound(node, "picky", nodeSelector={"zone": "a"}))
    assert refused(node, "picky")[1] == "NodeAffinity"
    node.kubectl("label", "node", node.name, "zone=b")
    node.apply(bound(node, "happy", nodeSelector={"zone": "b"}))
    happy = node.running("happy")

    node.kubectl("label", "node", node.name, "zone-")
    node.kill()
    node.start()
    assert refused(node, "happy")[1] == "NodeAffinity"
    container_id = happy["status"]["containerStatuses"][0]["containerID"].partition("//")[2]
    eventually(lambda: not node._processes(container_id), "the containers of the refused pod have ended")
    assert node.running("second")["status"]["containerStatuses"][0]["restartCount"] == 0
