"""A pod of a kilobyte cannot ask the agent for gigabytes: `$(VAR)` has a budget everywhere it is put in."""

import json
from pathlib import Path
from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually
from pods_under_test import make_pod, state_of, waits_for

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-expansion")]

DOUBLING = [
    {"name": "A0", "value": "x" * 64},
    *({"name": f"A{n}", "value": f"$(A{n - 1})$(A{n - 1})"} for n in range(1, 40)),
]
LARGE = DOUBLING[:11]  # A10: 64 KiB


def peak_kib(node: NodeUnderTest) -> int:
    assert node.agent is not None
    status = Path(f"/proc/{node.agent.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def bomb(name: str, **container: Any) -> dict[str, Any]:
    made = make_pod(name, restartPolicy="Never", volumes=[{"name": "v", "emptyDir": {}}])
    made["spec"]["containers"][0].update(container)
    return made


def test_no_pod_makes_the_agent_grow(node: NodeUnderTest) -> None:
    """40 doublings, their like in command, args and subPathExpr: CreateContainerConfigError; the agent's memory stays, and
    what is large, but could run, runs."""
    node.apply(make_pod("before"))
    node.running("before")
    before = peak_kib(node)
    mount = [{"name": "v", "mountPath": "/v", "subPathExpr": "$(A10)" * 1000}]
    pods = {
        "env": (bomb("env", env=DOUBLING), "environment variable A14 is larger than 1048576 bytes"),
        "command": (bomb("command", env=LARGE, command=["$(A10)"] * 5000), "larger than 2097152 bytes in all"),
        "args": (bomb("args", env=LARGE, args=["$(A10)" * 5000]), "a word of args is larger than 1048576 bytes"),
        "subpath": (bomb("subpath", env=LARGE, volumeMounts=mount), 'subPathExpr of volume mount "v" is larger than'),
    }
    node.apply(*(pod for pod, _ in pods.values()))
    for name, (_, message) in pods.items():
        found = node.pod_when(name, waits_for("CreateContainerConfigError"))
        assert message in state_of(found)[2]
    literal = {"name": "L", "value": "x" * 65536}  # probes know no others
    probe = {"exec": {"command": ["$(L)"] * 5000}, "periodSeconds": 1, "failureThreshold": 1}
    fits = ["sh", "-c", "echo ${#A10} ${#0}; sleep 100000", "$(A10)"]
    node.apply(bomb("probed", env=[*LARGE, literal], readinessProbe=probe, command=fits))
    assert "the command is larger than" in node.event_when("probed", "Unhealthy")
    eventually(lambda: node.kubectl("logs", "probed") == "65536 65536\n", "what fits runs")
    assert peak_kib(node) - before < 150 * 1024


SECRET = {"k": "eHh4" * (250 * 1024)}  # 750 KiB of x


def test_the_files_of_a_pod_have_a_budget(node: NodeUnderTest) -> None:
    """One secret under hundreds of paths, its like in a projected volume, annotations in thousands of files, ten thousand mounts:
    FailedMount with the limit; the agent's memory stays and it answers; what is large, but within the budget, runs."""
    kind = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "large"}}
    node.kubectl("create", "-f", "-", stdin=json.dumps(kind | {"data": SECRET}))
    before = peak_kib(node)
    items = [{"key": "k", "path": f"p{n}"} for n in range(2000)]
    fields = [{"path": f"p{n}", "fieldRef": {"fieldPath": "metadata.annotations"}} for n in range(5000)]
    files = [{"path": f"{n}/{m}", "fieldRef": {"fieldPath": "metadata.name"}} for n in range(250) for m in range(101)]
    volumes = {
        "secret": {"secret": {"secretName": "large", "items": items}},
        "projected": {"projected": {"sources": [{"secret": {"name": "large"}}] * 1000}},
        "downward": {"downwardAPI": {"items": fields}},
        "files": {"downwardAPI": {"items": files}},
        "fits": {"secret": {"secretName": "large", "items": items[:80]}},
    }
    for name, volume in volumes.items():
        made = bomb(f"files-{name}", volumeMounts=[{"name": "v", "mountPath": "/v"}])
        made["metadata"]["annotations"] = {"a": "\u0001" * 200_000} if name == "downward" else {}
        made["spec"]["volumes"] = [{"name": "v", **volume}]
        node.kubectl("create", "-f", "-", stdin=json.dumps(made))
    for name in ("secret", "projected", "downward"):
        assert "may have 67108864 bytes in all" in node.event_when(f"files-{name}", "FailedMount")
    assert "may have 50000 files and folders in all" in node.event_when("files-files", "FailedMount")
    node.running("files-fits")
    assert node.kubectl("exec", "files-fits", "--", "sh", "-c", "cat /v/p* | wc -c") == f"{80 * 750 * 1024}\n"
    assert peak_kib(node) - before < 350 * 1024
