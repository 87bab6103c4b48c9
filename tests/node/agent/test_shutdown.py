"""The machine shuts down, and the service manager stops the agent: what becomes of the pods, and what is said of it.

The message bus is a real one, logind a stand-in that shuts nothing down (`tests/support/logind.py`).
"""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from components import needs
from logind import Logind, logind
from node_under_test import NodeUnderTest, eventually, is_ready
from pods_under_test import conditions, finished, make_pod, shell, state_of

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-restart"), needs("dbus-daemon")]

MESSAGE = "Pod was terminated in response to imminent node shutdown."
ENDS_LATE = "trap 'sleep 1; exit 0' TERM; sleep 100000 & wait"
PERIODS = {"shutdownGracePeriod": "30s", "shutdownGracePeriodCriticalPods": "15s"}


@pytest.fixture
def service_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd gives a service of Type=notify with WatchdogSec=20s."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", listening.getsockname())
        monkeypatch.setenv("WATCHDOG_USEC", "20000000")  # the socket holds ten
        yield listening


def next_state(listening: socket.socket) -> str:
    """What is told next that is no sign of life."""
    while (state := listening.recv(1000).decode().partition("\n")[0]) == "WATCHDOG=1":
        pass
    return state


def ready(node: NodeUnderTest) -> tuple[str, str, str]:
    found = node.api.get(f"api/v1/nodes/{node.name}")
    assert found is not None
    return conditions(found)["Ready"]


def container_id(pod: dict[str, Any]) -> str:
    return str(pod["status"]["containerStatuses"][0]["containerID"])


async def test_the_ends_of_the_agent_and_of_the_machine(
    own_node: Callable[..., NodeUnderTest],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    service_manager: socket.socket,
) -> None:
    """SIGTERM is the agent's end alone, and systemd hears of it; a shutdown is the pods' end, in order."""
    async with logind(tmp_path, delay_seconds=30) as machine:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", machine.address)
        node, loop = own_node(kubelet=PERIODS), asyncio.get_running_loop()

        def announce(begins: bool) -> None:
            loop.call_soon_threadsafe(machine.announce, begins)

        def story() -> None:
            stopped_by_the_service_manager(node, service_manager)
            pods_end_before_the_machine(node, machine, announce)
            the_machine_does_not_go_down(node, machine, announce)

        await asyncio.to_thread(story)


def stopped_by_the_service_manager(node: NodeUnderTest, service_manager: socket.socket) -> None:
    """It is told that the agent is up, alive, and stops. Pods run on, and have nothing to tell it."""
    node.start()
    assert {service_manager.recv(1000).decode().partition("\n")[0] for _ in range(2)} == {"READY=1", "WATCHDOG=1"}
    node.apply(
        make_pod("a", shell("c", ENDS_LATE)),
        make_pod("critical", priorityClassName="system-node-critical"),
    )
    before = {name: container_id(node.running(name)) for name in ("a", "critical")}
    for pid in node.process_ids("conmon"):
        assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()
    node.stop()
    assert next_state(service_manager) == "STOPPING=1"
    assert len(node.process_ids("conmon")) == 2
    node.start()
    assert {name: container_id(node.running(name)) for name in before} == before


def pods_end_before_the_machine(node: NodeUnderTest, machine: Logind, announce: Callable[[bool], None]) -> None:
    """Not Ready with its reason, then one group after the other; the lock is given back when all of it is told."""
    eventually(lambda: machine.held()[-1:] == [True], "a lock")
    announce(True)
    eventually(lambda: ready(node) == ("False", "KubeletNotReady", "node is shutting down"), "not Ready")
    node.apply(make_pod("late", nodeName=node.name))
    eventually(lambda: not any(machine.held()), "the machine goes on")
    pods = {name: node.pod(name) for name in ("a", "critical")}
    for pod in pods.values():
        assert (pod["status"]["phase"], pod["status"]["reason"], pod["status"]["message"]) == (
            *("Failed", "Terminated", MESSAGE),
        )
        assert conditions(pod)["DisruptionTarget"] == ("True", "TerminationByKubelet", MESSAGE)
        assert state_of(pod) == ("terminated", "Completed", 0)
    ends = [pods[name]["status"]["containerStatuses"][0]["state"]["terminated"] for name in ("a", "critical")]
    assert ends[0]["finishedAt"] <= ends[1]["finishedAt"]
    late = node.pod_when("late", finished)["status"]
    rejected = "Pod was rejected: Pod was rejected as the node is shutting down."
    assert (late["reason"], late["message"]) == ("NodeShutdown", rejected)
    record = json.loads((node.root_dir / "graceful_node_shutdown_state").read_text())
    assert "0001" < record["startTime"] <= record["endTime"]


def the_machine_does_not_go_down(node: NodeUnderTest, machine: Logind, announce: Callable[[bool], None]) -> None:
    """The node takes pods again, and holds the next shutdown up; what has ended is not restored."""
    announce(False)
    eventually(lambda: ready(node)[0] == "True" and machine.held()[-1], "Ready again, with a lock")
    node.apply(make_pod("new", nodeName=node.name))
    node.running("new")
    assert not is_ready(node.pod("a"))
    told = {item["message"] for item in node.events_of(involvedObject_kind="Node", reason="Shutdown")}
    assert told == {
        "Shutdown manager detected shutdown event",
        "Shutdown manager detected shutdown cancellation",
    }
