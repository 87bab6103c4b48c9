"""containerd beside the node's own engine: a pod whose RuntimeClass names it, and what happens when the daemon goes away."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from components import needs
from containerd_under_test import Containerd, containerd
from node_under_test import NodeUnderTest, eventually, pod_object
from runtime_classes import runtime_class

pytestmark = [
    pytest.mark.node,
    needs("containerd"),
]


@pytest.fixture
def daemon(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[Containerd]:
    with containerd(tmp_path_factory.mktemp("c"), demo_image) as started:
        yield started


@pytest.fixture
def node(daemon: Containerd, own_node: Callable[..., NodeUnderTest]) -> NodeUnderTest:
    """runc by the engine is the default; the RuntimeClass `containerd` names the daemon."""
    runtimes = {
        "runc": {"type": "oci", "path": shutil.which("runc")},
        "containerd": {"type": "cri", "endpoint": daemon.endpoint, "handler": "runc"},
    }
    made = own_node(runtimes=runtimes, defaultRuntime="runc")
    made.start()
    made.apply(runtime_class("containerd"))
    return made


def state(pod: dict[str, Any]) -> tuple[str, int, str]:
    status = pod["status"]["containerStatuses"][0]
    return status["containerID"], status["restartCount"], pod["status"]["podIP"]


def handlers_condition(node: NodeUnderTest) -> tuple[str, str]:
    found = json.loads(node.kubectl("get", "node", node.name, "-o", "json"))["status"]["conditions"]
    condition = next(item for item in found if item["type"] == "RuntimeHandlersReady")
    return condition["status"], condition["message"]


def test_a_pod_runs_on_containerd(node: NodeUnderTest, daemon: Containerd) -> None:
    """Ready with an address of containerd's network, beside a pod of the engine; logs, exec and exit code are told; deletion
    leaves no task, no mount and no process."""
    script = "echo hello from $HOSTNAME; while ! test -e /tmp/end; do sleep 0.1; done; exit 7"
    node.apply(
        pod_object("guest", "sh", "-c", script, runtimeClassName="containerd", restartPolicy="Never"),
        pod_object("native", "sleep", "1000"),
    )
    pod = node.running("guest")
    assert pod["status"]["podIP"].startswith(daemon.subnet.removesuffix("0/24"))
    container_id = pod["status"]["containerStatuses"][0]["containerID"]
    assert container_id.startswith("containerd://")
    assert container_id.removeprefix("containerd://") in daemon.tasks()
    assert node.running("native")["status"]["containerStatuses"][0]["containerID"].startswith("runc://")
    eventually(lambda: node.kubectl("logs", "guest"), "log")
    assert node.kubectl("logs", "guest") == "hello from guest\n"
    assert node.kubectl("exec", "guest", "--", "cat", "/etc/hostname") == "guest\n"
    node.kubectl("exec", "guest", "--", "touch", "/tmp/end")
    ended = node.pod_when("guest", lambda found: found["status"]["phase"] == "Failed")
    terminated = ended["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (7, "Error")
    node.kubectl("delete", "pod", "guest")
    eventually(lambda: not daemon.tasks(), "no task is left")
    eventually(lambda: not any("shim" in leak for leak in daemon.leaks()), "no shim is left")


def test_a_containerd_without_a_network(node: NodeUnderTest, daemon: Containerd) -> None:
    """Its pods wait with NetworkNotReady, in its words, and start when its network is there; the engine's pods do not care."""
    configuration = daemon.directory / "cni" / "10-test.conflist"
    text = configuration.read_text()
    configuration.unlink()
    eventually(lambda: handlers_condition(node)[0] == "False", "the condition of the handlers")
    guest = pod_object("unconnected", "sleep", "1000", runtimeClassName="containerd")
    node.apply(guest, pod_object("native", "sleep", "1000"))
    message = node.event_when("unconnected", "NetworkNotReady")
    expected = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:"
    assert message.startswith(f"network is not ready: {expected}")
    node.running("native")
    assert node.pod("unconnected")["status"]["phase"] == "Pending"
    configuration.write_text(text)
    node.running("unconnected")
    eventually(lambda: handlers_condition(node)[0] == "True", "the condition of the handlers")


def test_containerd_is_killed_and_comes_back(node: NodeUnderTest, daemon: Containerd) -> None:
    """Meanwhile its pod keeps its state, the node says that the runtime is down, the engine's pods come and go; afterwards
    all is ready, the pod is the same, and new pods start."""
    node.apply(pod_object("stays", "sleep", "100000", runtimeClassName="containerd"))
    before = state(node.running("stays"))
    daemon.kill()
    _status, message = eventually(
        lambda: (found := handlers_condition(node))[0] == "False" and found, "the node tells of the runtime"
    )
    assert "container runtime containerd is down: " in message
    assert state(node.pod("stays")) == before
    assert node.pod("stays")["status"]["phase"] == "Running"
    node.apply(pod_object("native", "sleep", "1000"))
    node.running("native")
    node.kubectl("delete", "pod", "native", "--grace-period=1")
    daemon.start()
    eventually(lambda: handlers_condition(node)[0] == "True", "all is ready again")
    assert state(node.running("stays")) == before
    node.apply(pod_object("next", "sleep", "100000", runtimeClassName="containerd"))
    assert node.running("next")["status"]["podIP"].startswith(daemon.subnet.removesuffix("0/24"))
