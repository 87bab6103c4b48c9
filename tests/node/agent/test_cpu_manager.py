"""CPUs and memory for one container alone, on the two CPUs of this machine; one of them is reserved.

docs/facts/node-resources.md 11."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually, pod_object
from runtime_classes import runtime_class

from nodeagent.resources.cpu.topology import online_cpus

pytestmark = [
    pytest.mark.node,
    pytest.mark.xdist_group("agent-managers"),
    pytest.mark.skipif(len(online_cpus()) != 2, reason="written for a machine with two CPUs"),
]

STATIC = {
    "cpuManagerPolicy": "static",
    "reservedSystemCPUs": "0",
    "memoryManagerPolicy": "Static",
    "reservedMemory": [{"numaNode": 0, "limits": {"memory": "100Mi"}}],  # what the hard eviction threshold keeps free
    "topologyManagerPolicy": "single-numa-node",
    "topologyManagerScope": "pod",
}
SHOW = ("sh", "-c", "trap 'exit 0' TERM; while :; do grep Cpus_allowed_list /proc/self/status; sleep 0.2; done")


def bound(node: NodeUnderTest, name: str, cpu: str, **spec: Any) -> dict[str, Any]:
    """A Guaranteed pod that tells again and again on which CPUs it may run."""
    amounts = {"cpu": cpu, "memory": "32Mi"}
    return pod_object(
        name,
        *SHOW,
        nodeName=node.name,
        automountServiceAccountToken=False,
        resources={"requests": amounts, "limits": amounts},
        terminationGracePeriodSeconds=1,
        **spec,
    )


def allowed(node: NodeUnderTest, pod: str, cpus: str) -> None:
    """The pod's process is on these CPUs, or comes to be."""
    eventually(
        lambda: node.container_log(pod, "c").splitlines()[-1:] == [f"Cpus_allowed_list:\t{cpus}"], f"{pod} on {cpus}"
    )


def test_one_pod_has_a_cpu_for_itself(own_node: Callable[..., NodeUnderTest]) -> None:
    """The others move away, also those that ran before; a killed agent goes on with it; there is no second one; when it has
    gone all share all CPUs again; on runc and on crun. A corrupt state, another policy, and CPUs that there are not are named."""
    node = own_node(kubelet=STATIC)
    node.start()
    found = node.api.get(f"api/v1/nodes/{node.name}")
    assert found is not None
    assert (found["status"]["capacity"]["cpu"], found["status"]["allocatable"]["cpu"]) == ("2", "1")
    node.apply(bound(node, "shares", "100m"))
    node.running("shares")
    allowed(node, "shares", "0-1")

    node.apply(bound(node, "alone", "1"))
    alone = refused_or_running(node, "alone")
    assert alone["reason"] == "OutOfcpu"  # beside 100m of the one that is left: assigned first, and given back
    node.kubectl("delete", "pod", "alone", "shares", "--grace-period=1")
    others = {"automountServiceAccountToken": False, "runtimeClassName": "crun"}
    node.apply(runtime_class("crun"), pod_object("besteffort", *SHOW, nodeName=node.name, **others))
    node.running("besteffort")
    allowed(node, "besteffort", "0-1")
    node.apply(bound(node, "own", "1"))
    own = node.running("own")
    allowed(node, "own", "1")
    allowed(node, "besteffort", "0")

    node.kill()
    node.start()
    node.apply(bound(node, "second", "1"))
    second = refused_or_running(node, "second")
    assert (second["reason"], second["message"]) == (
        "TopologyAffinityError",
        "Pod was rejected: Resources cannot be allocated with Topology locality",
    )
    again = node.running("own")
    assert again["status"]["containerStatuses"] == own["status"]["containerStatuses"]
    allowed(node, "own", "1")
    state = json.loads((node.root_dir / "cpu_manager_state").read_bytes())
    assert (state["policyName"], state["defaultCpuSet"], state["entries"]) == (
        "static",
        "0",
        {own["metadata"]["uid"]: {"c": "1"}},
    )

    memory = json.loads((node.root_dir / "memory_manager_state").read_bytes())
    assert memory["entries"] == {
        own["metadata"]["uid"]: {"c": [{"numaAffinity": [0], "type": "memory", "size": 32 << 20}]}
    }

    node.kubectl("delete", "pod", "own", "--grace-period=1")
    allowed(node, "besteffort", "0-1")

    node.stop()
    file = node.root_dir / "cpu_manager_state"
    good = file.read_bytes()
    file.write_bytes(good.replace(b"0-1", b"0-9"))
    assert f'delete the state file "{file}"' in node_that_does_not_start(node)
    file.write_bytes(good)
    node.config["kubelet"] = {}
    assert 'configured policy "none" differs from state checkpoint policy "static"' in node_that_does_not_start(node)
    file.unlink()
    assert 'configured policy "None" differs from state checkpoint policy "Static"' in node_that_does_not_start(node)
    (node.root_dir / "memory_manager_state").unlink()
    node.config["kubelet"] = {"reservedSystemCPUs": "0,2"}
    told = node_that_does_not_start(node, status=2, about="reservedSystemCPUs")
    assert told.endswith("reservedSystemCPUs: 0,2 are not all online; the machine has 0-1")
    node.config["kubelet"] = {}


def refused_or_running(node: NodeUnderTest, name: str) -> dict[str, Any]:
    status: dict[str, Any] = node.pod_when(name, lambda pod: pod["status"]["phase"] in ("Failed", "Running"))["status"]
    return {"reason": "", **status}


def node_that_does_not_start(node: NodeUnderTest, status: int = 1, about: str = "restore state") -> str:
    """The last line that the agent leaves of it."""
    node.start_with("--standalone")
    assert node.agent is not None
    assert node.agent.wait(60) == status
    node.agent = None
    return [line for line in node.log().splitlines() if about in line][-1]
