"""A new version of the agent in the place of an old one: what the old one runs is adopted, and what it has written is read.

The old one is a commit of this repository, from before eviction, resource managers and the status of devices.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from components import cannot_be_tested, needs
from node_under_test import REPO, NodeUnderTest, eventually, import_image, make_node
from pods_under_test import make_pod, shell, status_of
from runtime_classes import runtime_class

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-restart"), needs("runc", "crun")]

OLD = "55d905ab"
HANDLERS = ("crun", "runc")
VOLUMES = [
    {"name": "data", "emptyDir": {}},
    {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    {"name": "settings", "configMap": {"name": "settings"}},
]
MOUNTS = {"volumeMounts": [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in VOLUMES]}
FAILS_ONCE = "test -e /data/once || { touch /data/once; exit 3; }; echo again; sleep 100000"
ENDS_WHEN_TOLD = (
    "echo begun; echo kept > /data/kept; echo kept > /memory/kept; while ! test -e /data/end; do sleep 0.2; done"
)
PROBE = {"exec": {"command": ["test", "-e", "/data/kept"]}, "periodSeconds": 1}


@pytest.fixture
def old_version(tmp_path: Path) -> Path:
    """The old agent's tree."""
    git = ["git", "-C", str(REPO)]
    if subprocess.run([*git, "cat-file", "-e", f"{OLD}^{{commit}}"], capture_output=True, check=False).returncode:
        cannot_be_tested(f"an upgrade: this checkout has no history with commit {OLD}")
    tree, archive = tmp_path / "old", tmp_path / "old.tar"
    packages = ("nodeagent", "runtimes", "cni", "csi", "proto")
    subprocess.run([*git, "archive", f"--output={archive}", OLD, *packages], check=True, timeout=60)
    tree.mkdir()
    subprocess.run(["tar", "-xf", str(archive), "-C", str(tree)], check=True, timeout=60)
    archive.unlink()
    return tree


@pytest.fixture
def node(tmp_path: Path, demo_image: Path, old_version: Path) -> Iterator[NodeUnderTest]:
    """Of the old agent, with two runtimes; a pod of each."""
    runtimes = {handler: {"type": "oci", "path": shutil.which(handler)} for handler in HANDLERS}
    made = make_node(tmp_path, runtimes=runtimes, defaultRuntime="crun")
    made.directory.mkdir()
    import_image(made, demo_image)
    made.program = old_version
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"key": "value"}}
    try:
        made.start()
        made.apply(settings, *(runtime_class(handler) for handler in HANDLERS))
        made.apply(*(pod(handler) for handler in HANDLERS))
        yield made
    finally:
        made.program = REPO
        made.clean()


def pod(handler: str) -> dict[str, Any]:
    main = shell(
        "main", ENDS_WHEN_TOLD, **MOUNTS, livenessProbe={**PROBE, "initialDelaySeconds": 2}, readinessProbe=PROBE
    )
    return make_pod(handler, main, shell("flaky", FAILS_ONCE, **MOUNTS), runtimeClassName=handler, volumes=VOLUMES)


def identity(pod: dict[str, Any]) -> tuple[Any, ...]:
    """What an upgrade does not change: the containers, how often and since when they run, the addresses."""
    containers = [
        (status["name"], status["containerID"], status["restartCount"], status["state"], status.get("lastState"))
        for status in pod["status"]["containerStatuses"]
    ]
    return pod["metadata"]["uid"], pod["status"]["startTime"], pod["status"]["podIPs"], containers


def settled(pod: dict[str, Any]) -> bool:
    """It is Ready, and its second container has failed once."""
    flaky = status_of(pod, "flaky")
    return status_of(pod, "main").get("ready", False) and flaky.get("restartCount") == 1 and "running" in flaky["state"]


def test_an_upgrade_in_place(node: NodeUnderTest) -> None:
    """The same containers with their counts and addresses; volumes, logs, exec, probes and restarts are the new agent's from then
    on. The old one takes over what the new one leaves, too; and nothing is left when the pods go.
    """
    before = {name: identity(node.pod_when(name, settled)) for name in HANDLERS}
    old = node.program
    agent_becomes(node, REPO)
    assert {name: identity(node.pod(name)) for name in HANDLERS} == before
    for name in HANDLERS:
        assert node.kubectl("logs", name, "-c", "main") == "begun\n"
        words = node.kubectl("exec", name, "-c", "main", "--", "cat", "/data/kept", "/memory/kept", "/settings/key")
        assert words == "kept\nkept\nvalue"
    node.kubectl("exec", "crun", "-c", "main", "--", "touch", "/data/end")
    again = node.pod_when("crun", lambda found: status_of(found, "main")["restartCount"] == 1)
    assert status_of(again, "main")["lastState"]["terminated"]["exitCode"] == 0
    assert again["status"]["podIPs"] == before["crun"][2]
    agent_becomes(node, old)
    assert identity(node.pod("runc")) == before["runc"]
    node.stop()


def agent_becomes(node: NodeUnderTest, program: Path) -> None:
    """Stop the one, start the other, and wait until it has all pods: only then it finds one to run something in."""
    node.stop()
    node.program = program
    node.start()
    for name in HANDLERS:
        run = ("exec", name, "-c", "flaky", "--", "echo", "found")
        eventually(lambda run=run: node.kubectl(*run, check=False) == "found\n", f"{name} is taken over")
