"""A pod in one line: the STATUS word that kubectl would show."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import Node, Pod

from nodeagent.cli.pod_row import PodRow, pod_row
from nodeagent.cli.status import NodeRow, node_row

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
RUNNING = {"running": {"startedAt": "2026-01-01T11:00:00Z"}}


def pod(status: dict[str, Any] | None, *, deleted: bool = False, init: tuple[dict[str, Any], ...] = ()) -> Pod:
    metadata = {"name": "p", "namespace": "ns", "creationTimestamp": "2026-01-01T11:59:00Z"}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    spec = {
        "nodeName": "n",
        "containers": [{"name": "a"}, {"name": "b"}],
        "initContainers": [{"name": f"i{number}", **fields} for number, fields in enumerate(init)],
    }
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, Pod)


def container(state: dict[str, Any], *, name: str = "a", ready: bool = False, restarts: int = 0, **more: Any) -> Any:
    return {"name": name, "image": "i", "imageID": "", "ready": ready, "restartCount": restarts, "state": state, **more}


def ended(code: int, reason: str = "", signal: int = 0) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "signal": signal}}


def waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(pod(None), "Pending", id="nobody has reported"),
        pytest.param(pod({"phase": "Pending"}), "Pending", id="pending"),
        pytest.param(pod({"phase": "Running"}, deleted=True), "Terminating", id="deleted"),
        pytest.param(pod({"phase": "Failed", "reason": "Evicted"}), "Evicted", id="the pod's own reason"),
        pytest.param(
            pod({"phase": "Pending", "containerStatuses": [container(waiting("ErrImagePull"))]}),
            "ErrImagePull",
            id="waits",
        ),
        pytest.param(
            pod({"phase": "Running", "containerStatuses": [container(RUNNING, ready=True)]}), "Running", id="runs"
        ),
        pytest.param(
            pod({"phase": "Running", "containerStatuses": [container(ended(137, "OOMKilled"))]}), "OOMKilled", id="OOM"
        ),
        pytest.param(
            pod({"phase": "Failed", "containerStatuses": [container(ended(3))]}), "ExitCode:3", id="without a reason"
        ),
        pytest.param(
            pod({"phase": "Failed", "containerStatuses": [container(ended(0, signal=9))]}), "Signal:9", id="a signal"
        ),
        pytest.param(
            pod(
                {
                    "phase": "Running",
                    "containerStatuses": [
                        container(ended(0, "Completed")),
                        container(RUNNING, name="b", ready=True),
                    ],
                }
            ),
            "Running",
            id="one done, one at work",
        ),
        pytest.param(
            pod(
                {"phase": "Pending", "initContainerStatuses": [container(waiting("CrashLoopBackOff"), name="i0")]},
                init=({},),
            ),
            "Init:CrashLoopBackOff",
            id="init waits",
        ),
        pytest.param(
            pod(
                {
                    "phase": "Pending",
                    "initContainerStatuses": [
                        container(ended(0, "Completed"), name="i0"),
                        container(RUNNING, name="i1"),
                    ],
                },
                init=({}, {}),
            ),
            "Init:1/2",
            id="the second init runs",
        ),
        pytest.param(
            pod({"phase": "Pending", "initContainerStatuses": [container(ended(2, "Error"), name="i0")]}, init=({},)),
            "Init:Error",
            id="init failed",
        ),
        pytest.param(
            pod(
                {
                    "phase": "Running",
                    "initContainerStatuses": [container(RUNNING, name="i0", started=True)],
                    "containerStatuses": [container(RUNNING, ready=True)],
                },
                init=({"restartPolicy": "Always"},),
            ),
            "Running",
            id="a sidecar runs",
        ),
    ],
)
def test_status_word(value: Pod, expected: str) -> None:
    """The word tells the most telling thing, in kubectl's order."""
    assert pod_row(value, NOW).status == expected


def test_the_whole_row() -> None:
    """Ready containers of all, restarts in sum, the age at `now`."""
    statuses = [container(RUNNING, ready=True, restarts=2), container(RUNNING, name="b", restarts=1)]
    value = pod({"phase": "Running", "podIP": "10.0.0.2", "containerStatuses": statuses})
    assert pod_row(value, NOW) == PodRow(
        namespace="ns",
        name="p",
        ready="1/2",
        status="Running",
        restarts=3,
        ip="10.0.0.2",
        node="n",
        age="60s",
    )


def test_a_node_that_has_said_nothing() -> None:
    """A Node without a status is not Ready, and the row says why."""
    node = msgspec.convert({"metadata": {"name": "n"}}, Node)
    expected = NodeRow(name="n", ready=False, message="no status yet", address="", version="", runtimes=(), age="")
    assert node_row(node, NOW) == expected
    assert expected.status == "NotReady (no status yet)"


def test_a_node_that_is_ready() -> None:
    """Address, version and runtime handlers come from the status."""
    status = {
        "conditions": [{"type": "Ready", "status": "True", "message": "fine"}],
        "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "192.0.2.1"}],
        "runtimeHandlers": [{"name": ""}, {"name": "runc"}, {"name": "crun"}],
    }
    metadata = {"name": "n", "creationTimestamp": "2026-01-01T11:00:00Z"}
    row = node_row(msgspec.convert({"metadata": metadata, "status": status}, Node), NOW)
    assert row == NodeRow(
        name="n", ready=True, message="fine", address="192.0.2.1", version="", runtimes=("crun", "runc"), age="60m"
    )
