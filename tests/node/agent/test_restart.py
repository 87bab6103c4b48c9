"""The agent goes and comes back: pods live on, and what happened meanwhile is noticed."""

import socket
from collections.abc import Callable
from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually, pod_object, restart_count

from cni.native.packet_filter import choose_rules

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-restart")]


def identity(pod: dict[str, Any]) -> tuple[str, int, str]:
    status = pod["status"]["containerStatuses"][0]
    return (status["containerID"], status["restartCount"], pod["status"]["podIP"])


def answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=5):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_pods_outlive_the_agent(own_node: Callable[..., NodeUnderTest], way: str) -> None:
    """Stopped, or killed with SIGKILL: the pods keep running, and the next agent adopts them unchanged, with addresses of both
    families and host ports; rules that somebody took away meanwhile are there again."""
    node = own_node()
    node.config["cni"] = {"provider": "native", "subnet": f"{node.subnet},fd00:{node.port:x}::/64"}
    node.start()
    port = 20000 + node.port % 10000
    serve = ("httpd", "-f", "-p", "80", "-h", "/www")
    node.apply(
        pod_object("lives", *serve, ports=[{"containerPort": 80, "hostPort": port}]),
        pod_object("also", "sleep", "100000"),
    )
    before = {name: identity(node.running(name)) for name in ("lives", "also")}
    addresses = [item["ip"] for item in node.pod("lives")["status"]["podIPs"]]
    assert [":" in address for address in addresses] == [False, True]
    getattr(node, way)()
    assert len(node._processes("conmon")) == 2
    rules = choose_rules()
    for owner in rules.owned():
        if owner.network == node.bridge:
            rules.remove(*owner)
    node.start()
    assert {name: identity(node.running(name)) for name in ("lives", "also")} == before
    for host, number in (*((address, 80) for address in addresses), ("127.0.0.1", port)):
        eventually(lambda host=host, number=number: answers(host, number), f"{host}:{number} is reached", 20)


def test_what_happened_while_the_agent_was_away_is_noticed(own_node: Callable[..., NodeUnderTest]) -> None:
    """A container that died while nobody looked is restarted, with its exit code told and its count raised."""
    node = own_node()
    node.start()
    node.apply(
        pod_object(
            "dies",
            "sh",
            "-c",
            "while ! test -e /flag/now; do sleep 0.2; done; rm /flag/now; exit 9",
            volumeMounts=[{"name": "flag", "mountPath": "/flag"}],
            volumes=[{"name": "flag", "hostPath": {"path": str(node.directory / "flag"), "type": "DirectoryOrCreate"}}],
        )
    )
    pod = node.running("dies")
    node.kill()
    (node.directory / "flag" / "now").touch()
    eventually(lambda: not node._processes("conmon"), "the container ended")
    node.start()
    again = node.pod_when("dies", lambda found: restart_count(found) == 1)
    assert again["status"]["podIP"] == pod["status"]["podIP"]
    last = again["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (9, "Error")


def test_a_pod_deleted_by_force_while_the_agent_was_away_is_cleaned_up(own_node: Callable[..., NodeUnderTest]) -> None:
    """What the API no longer has is stopped and removed by the agent that comes back."""
    node = own_node()
    node.start()
    node.apply(pod_object("orphan", "sleep", "100000"))
    node.running("orphan")
    assert node.agent is not None
    node.agent.send_signal(19)  # SIGSTOP: the API goes on, the agent sees nothing
    node.kubectl("delete", "pod", "orphan", "--force", "--grace-period=0")
    node.kill()
    node.start()
    eventually(lambda: not node._processes("conmon"), "the orphan is gone")
    eventually(lambda: not list((node.root_dir / "pods").glob("*")), "its folder is gone")
