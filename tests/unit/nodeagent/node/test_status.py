"""Status, conditions and the patch between two of them."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import small_machine
from lightkube.models.core_v1 import Node, NodeAddress, NodeCondition, NodeStatus
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.node import patch
from nodeagent.node.capacity import Limits
from nodeagent.node.conditions import Pressure, conditions, join_errors, transitions
from nodeagent.node.state import NodeState
from nodeagent.node.status import ImageOnNode, NodeConfig, Observed, RuntimeHandler, RuntimeState, images, node_status

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STAMP = "2026-01-01T12:00:00Z"
READY = RuntimeState(version="runc://1.1.5", errors=(), handlers=(RuntimeHandler(name="z"), RuntimeHandler(name="")))
MACHINE = dataclasses.replace(small_machine.MACHINE, swap_bytes=2**20)
CONFIG = NodeConfig(name="n", machine=MACHINE, version="v1.36.0")


def observed(*, storage_bytes: int | None = 2**30, **fields: Any) -> Observed:
    state = NodeState(MACHINE, Limits(), storage_bytes=storage_bytes, host_ips=())
    given: dict[str, Any] = {
        "addresses": [NodeAddress(type="InternalIP", address="10.0.0.1"), NodeAddress(type="Hostname", address="n")],
        "runtime": READY,
        "capacity": state.capacity,
        "allocatable": state.allocatable,
        "declared_features": state.declared_features,
    }
    return Observed(**{**given, **fields})


def condition(kind: str, status: str, reason: str, message: str, at: str = STAMP) -> dict[str, str]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": STAMP,
        "lastTransitionTime": at,
    }


def test_a_ready_node_in_full() -> None:
    """The status of a healthy new node, field by field."""
    status = node_status(CONFIG, observed(volumes_in_use=["b", "a"]), Node(), NOW)
    assert msgspec.to_builtins(status) == {
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "n"}],
        "capacity": {"cpu": "4", "memory": "1Gi", "pods": "110", "ephemeral-storage": "1Gi"},
        "allocatable": {"cpu": "4", "memory": "1Gi", "pods": "110", "ephemeral-storage": "1073741824"},
        "conditions": [
            condition(
                "MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"
            ),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "declaredFeatures": [
            "ExtendWebSocketsToKubelet",
            "InPlacePodLevelResourcesVerticalScaling",
            "InPlacePodVerticalScalingInitContainers",
            "InPlacePodVerticalScalingMemoryBackedVolumes",
            "RestartAllContainersOnContainerExits",
        ],
        "features": {"supplementalGroupsPolicy": False},
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "b",
            "containerRuntimeVersion": "runc://1.1.5",
            "kernelVersion": "6.1",
            "kubeProxyVersion": "",
            "kubeletVersion": "v1.36.0",
            "machineID": "m",
            "operatingSystem": "linux",
            "osImage": "Debian",
            "systemUUID": "s",
            "swap": {"capacity": 1048576},
        },
        "runtimeHandlers": [
            {"name": "", "features": {"recursiveReadOnlyMounts": False, "userNamespaces": False}},
            {"name": "z", "features": {"recursiveReadOnlyMounts": False, "userNamespaces": False}},
        ],
        "volumesInUse": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (["container runtime is down"], "container runtime is down"),
        (["a", "b"], "[a, b]"),
        (["a", "a"], "a"),
    ],
)
def test_errors_of_a_node_that_is_not_ready(errors: list[str], message: str) -> None:
    """One error stands plain, several in brackets."""
    ready = conditions((), Pressure(), errors, cfs_quota=True, now=NOW)[-1]
    assert (ready.status, ready.reason, ready.message) == ("False", "KubeletNotReady", message)
    assert join_errors(errors) == message


def test_pressures_and_soft_requirement() -> None:
    """Each pressure has its reason and message; a missing CFS quota is only a warning in the Ready message."""
    found = conditions((), Pressure(memory=True, disk=True, pid=True), (), cfs_quota=False, now=NOW)
    assert [(item.type, item.status, item.reason, item.message) for item in found] == [
        ("MemoryPressure", "True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ("DiskPressure", "True", "KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("PIDPressure", "True", "KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status. WARNING: CPU hardcapping unsupported"),
    ]


def test_controllers_that_are_missing() -> None:
    """Are a warning in the Ready message of a node that is Ready, and nothing beside what keeps it from being that."""
    ready, broken = (
        conditions((), Pressure(), errors, cfs_quota=True, lacking=("memory", "pids"), now=NOW)[-1].message
        for errors in ((), ("x",))
    )
    warning = ". WARNING: no cgroup controller memory, pids: limits of pods are not held"
    assert (ready, broken) == (f"kubelet is posting ready status{warning}", "x")


def test_missing_capacity_is_not_ready() -> None:
    """A node that cannot name its storage says so, next to the runtime's errors."""
    status = node_status(CONFIG, observed(storage_bytes=None, runtime=RuntimeState()), Node(), NOW)
    assert status.conditions is not None
    assert status.conditions[-1].message == (
        "[container runtime status check may not have completed yet, "
        "missing node capacity for resources: ephemeral-storage]"
    )


def test_transition_time_moves_only_with_the_status() -> None:
    """A new reason or message keeps lastTransitionTime; a new status moves it; events name what changed."""
    first = conditions((), Pressure(), ["x"], cfs_quota=True, now=NOW)
    later = NOW + timedelta(minutes=1)
    second = conditions(first, Pressure(), ["y"], cfs_quota=True, now=later)
    assert {item.lastTransitionTime for item in second} == {NOW}
    third = conditions(second, Pressure(disk=True), (), cfs_quota=True, now=later)
    assert [item.lastTransitionTime == later for item in third] == [False, True, False, True]
    assert [(event.reason, event.message) for event in transitions("n", second, third)] == [
        ("NodeHasDiskPressure", "Node n status is now: NodeHasDiskPressure"),
        ("NodeReady", "Node n status is now: NodeReady"),
    ]
    assert [event.reason for event in transitions("n", (), first)] == ["NodeNotReady"]


def test_others_parts_are_kept() -> None:
    """Foreign conditions, volumesAttached and unknown volumesInUse stay as they were."""
    before = Node(
        status=msgspec.convert(
            {
                "conditions": [{"type": "NetworkUnavailable", "status": "False"}],
                "volumesAttached": [{"name": "v", "devicePath": "/d"}],
                "volumesInUse": ["v"],
            },
            NodeStatus,
        )
    )
    status = node_status(CONFIG, observed(), before, NOW)
    assert status.conditions is not None
    assert status.conditions[0] == NodeCondition(type="NetworkUnavailable", status="False")
    assert status.volumesInUse == ["v"]
    assert status.volumesAttached == before.status.volumesAttached if before.status else False
    assert patch.status_patch(Node(status=status), node_status(CONFIG, observed(), before, NOW)) == {}


@pytest.mark.parametrize(("reset", "left"), [(False, "3"), (True, "0")])
def test_extended_resources_of_others(reset: bool, left: str) -> None:
    """What somebody wrote down as the node's stays; unless no agent before has counted devices: then it is nobody's. Those of
    plugins are as they are counted.
    """
    amounts = {"example.com/dongle": "3", "example.com/gpu": "7", "cpu": "2"}
    before = Node(status=NodeStatus(capacity=dict(amounts), allocatable=dict(amounts)))
    found = node_status(
        CONFIG,
        observed(
            capacity={"cpu": "4", "example.com/gpu": "2"},
            allocatable={"cpu": "3", "example.com/gpu": "1"},
            reset_extended=reset,
        ),
        before,
        NOW,
    )
    assert found.capacity == {"example.com/dongle": left, "cpu": "4", "example.com/gpu": "2"}
    assert found.allocatable == {"example.com/dongle": left, "cpu": "3", "example.com/gpu": "1"}


def test_images_are_ordered_and_bounded() -> None:
    """Largest first, ties by higher id, at most the limit, at most five names each, digests before tags."""
    found = [
        ImageOnNode(id="a", size_bytes=1, tags=("t1", "t2", "t3", "t4"), digests=("d1", "d2")),
        ImageOnNode(id="b", size_bytes=5, tags=("x",)),
        ImageOnNode(id="c", size_bytes=1),
    ]
    assert [(item.names, item.sizeBytes) for item in images(found, 50)] == [
        (["x"], 5),
        (None, 1),
        (["d1", "d2", "t1", "t2", "t3"], 1),
    ]
    assert len(images(found, 2)) == 2
    assert len(images(found * 40, -1)) == 120


def test_patch_is_empty_but_for_heartbeats() -> None:
    """When only the time went on there is nothing to send; when forced, only the conditions go."""
    before = Node(status=node_status(CONFIG, observed(), Node(), NOW))
    after = node_status(CONFIG, observed(), before, NOW + timedelta(seconds=10))
    assert patch.status_patch(before, after) == {}
    forced = patch.heartbeat_patch(before, after)
    assert sorted(forced) == ["$setElementOrder/conditions", "conditions"]
    assert [item["type"] for item in forced["conditions"]] == [
        "MemoryPressure",
        "DiskPressure",
        "PIDPressure",
        "Ready",
    ]


def test_patch_of_every_kind_of_change() -> None:
    """Changed keys are set, gone ones nulled, lists replaced, addresses carry the replace directive."""
    before = Node(
        status=node_status(
            CONFIG, observed(volumes_in_use=["v"], images=[ImageOnNode(id="i", size_bytes=1)]), Node(), NOW
        )
    )
    assert before.status is not None
    before.status.capacity = {**(before.status.capacity or {}), "hugepages-1Gi": "0", "cpu": "2"}
    after = node_status(
        CONFIG, observed(addresses=[NodeAddress(type="Hostname", address="m")], volumes_in_use=()), before, NOW
    )
    assert patch.status_patch(before, after) == {
        "capacity": {"hugepages-1Gi": None, "cpu": "4"},
        "images": None,
        "volumesInUse": None,
        "addresses": [{"type": "Hostname", "address": "m"}, {"$patch": "replace"}],
    }


def test_metadata_patch_adds_and_corrects() -> None:
    """Only what is missing or wrong is sent."""
    node = Node(metadata=ObjectMeta(name="n", labels={"a": "1", "b": "x"}))
    assert patch.metadata_patch(node, {"a": "1", "b": "2"}, {"c": "3"}) == {
        "labels": {"b": "2"},
        "annotations": {"c": "3"},
    }
    assert patch.metadata_patch(node, {"a": "1"}) == {}
