"""Startup, readiness and liveness on a real node (docs/facts/pod-lifecycle.md 7)."""

from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually
from pods_under_test import conditions, container, field, make_pod, restarted, shell, status_of, tells_of, told

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("lifecycle-probes")]

WEB = "mkdir -p /srv; echo fine >/srv/ok; exec httpd -f -p 8080 -h /srv"


def every_second(handler: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**handler, "periodSeconds": 1, **more}


def file_is_there(path: str, **more: Any) -> dict[str, Any]:
    return every_second({"exec": {"command": ["test", "-e", path]}}, **more)


@pytest.fixture(scope="module", autouse=True)
def pods(node: NodeUnderTest) -> None:
    """All pods of this file, begun at once."""
    http = {"httpGet": {"path": "/ok", "port": "web"}}
    ports = [{"name": "web", "containerPort": 8080}]
    node.apply(
        make_pod("toggled", container("c", readinessProbe=file_is_there("/tmp/ready", failureThreshold=1))),
        make_pod("by-http", shell("c", WEB, readinessProbe=every_second(http), ports=ports)),
        make_pod("by-tcp", shell("c", WEB, readinessProbe=every_second({"tcpSocket": {"port": 8080}}))),
        make_pod("by-grpc", shell("c", WEB, readinessProbe=every_second({"grpc": {"port": 8080}}, timeoutSeconds=2))),
        make_pod(
            "gated",
            container(
                "c",
                startupProbe=file_is_there("/tmp/started", failureThreshold=600),
                readinessProbe=file_is_there("/"),
                livenessProbe=file_is_there("/nowhere", failureThreshold=600),
            ),
        ),
        make_pod("lifeless", shell("c", "sleep 100000", livenessProbe=file_is_there("/alive", failureThreshold=2))),
        make_pod(
            "stubborn",
            shell(
                "c",
                "trap '' TERM; while :; do sleep 1; done",
                livenessProbe=file_is_there("/x", failureThreshold=1) | {"terminationGracePeriodSeconds": 1},
            ),
            terminationGracePeriodSeconds=600,
        ),
        make_pod("slow", container("c", readinessProbe=every_second({"exec": {"command": ["sleep", "60"]}}))),
        make_pod(
            "never-up",
            shell("c", "sleep 100000", startupProbe=file_is_there("/x", failureThreshold=1)),
            container("other"),
            restartPolicy="Never",
            terminationGracePeriodSeconds=1,
        ),
    )


def ready(pod: dict[str, Any]) -> bool:
    return conditions(pod).get("Ready", ("",))[0] == "True"


def messages(node: NodeUnderTest, pod: str, reason: str) -> list[str]:
    return [message for _, known, message, _ in told(node, pod) if known == reason]


def test_readiness_comes_and_goes(node: NodeUnderTest) -> None:
    """A failing probe keeps the container running and the pod not ready, with the kubelet's words; a passing one turns it, and
    back again."""
    pod = node.pod_when("toggled", lambda found: status_of(found).get("started"))
    assert conditions(pod)["Ready"] == ("False", "ContainersNotReady", "containers with unready status: [c]")
    node.kubectl("exec", "toggled", "--", "touch", "/tmp/ready")
    assert conditions(node.pod_when("toggled", ready))["ContainersReady"] == ("True", "", "")
    node.kubectl("exec", "toggled", "--", "rm", "/tmp/ready")
    pod = node.pod_when("toggled", lambda found: not ready(found))
    assert status_of(pod)["restartCount"] == 0
    assert messages(node, "toggled", "Unhealthy")[0].startswith("Readiness probe failed: ")


@pytest.mark.parametrize("name", ["by-http", "by-tcp"])
def test_handlers_that_succeed(node: NodeUnderTest, name: str) -> None:
    """httpGet through a named port, and tcpSocket, reach the pod at its own address."""
    node.pod_when(name, ready)


def test_grpc_of_a_server_that_does_not_speak_it(node: NodeUnderTest) -> None:
    """The pod is not ready, and the event tells that the health service could not be had."""
    found = eventually(lambda: messages(node, "by-grpc", "Unhealthy"), "event of by-grpc")
    assert found[0].startswith(("Readiness probe failed: timeout: ", "Readiness probe failed: error: "))
    assert not ready(node.pod("by-grpc"))


def test_startup_holds_the_others_back(node: NodeUnderTest) -> None:
    """Until the startup probe has passed the container is not started and neither ready nor examined for life."""
    eventually(lambda: messages(node, "gated", "Unhealthy"), "startup probe runs")
    status = status_of(node.pod("gated"))
    assert (status["started"], status["ready"], status["restartCount"]) == (False, False, 0)
    assert not any(text.startswith("Liveness") for text in messages(node, "gated", "Unhealthy"))
    node.kubectl("exec", "gated", "--", "touch", "/tmp/started")
    assert status_of(node.pod_when("gated", ready))["started"] is True
    eventually(lambda: any(text.startswith("Liveness") for text in messages(node, "gated", "Unhealthy")), "liveness")


def test_liveness_restarts(node: NodeUnderTest) -> None:
    """After its threshold the container is killed and started again; the events say why."""
    pod = node.pod_when("lifeless", restarted())
    assert status_of(pod)["lastState"]["terminated"]["exitCode"] == 137
    assert "Liveness probe failed: " in messages(node, "lifeless", "Unhealthy")
    killing = ("Normal", "Killing", "Container c failed liveness probe, will be restarted", field("c"))
    tells_of(node, "lifeless", killing)


def test_the_probes_own_grace(node: NodeUnderTest) -> None:
    """terminationGracePeriodSeconds of the probe, not the pod's ten minutes, bounds the kill for a failed probe."""
    pod = node.pod_when("stubborn", restarted())
    assert status_of(pod)["lastState"]["terminated"]["exitCode"] == 137


def test_an_exec_that_takes_too_long(node: NodeUnderTest) -> None:
    """The default second is over: a failure that names the command and the time."""
    found = eventually(lambda: messages(node, "slow", "Unhealthy"), "event of slow")
    assert found[0] == 'Readiness probe failed: command timed out: "sleep 60" timed out after 1s'


def test_a_startup_that_fails_for_good(node: NodeUnderTest) -> None:
    """Under restartPolicy Never the container ends, the event does not promise a restart, and the pod's other one goes on."""
    pod = node.pod_when("never-up", lambda found: "terminated" in status_of(found).get("state", {}))
    assert status_of(pod)["state"]["terminated"]["exitCode"] == 137
    tells_of(node, "never-up", ("Normal", "Killing", "Container c failed startup probe", field("c")))
    assert "running" in status_of(pod, "other")["state"]
    assert pod["status"]["phase"] == "Running"
