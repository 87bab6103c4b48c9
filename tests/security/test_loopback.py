"""No pod reaches what listens on the host's 127.0.0.1, also once a host port has made the kernel route such packets."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from node_under_test import NodeUnderTest, eventually, free_port
from pods_under_test import container, make_pod

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-loopback")]

CONNECT = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()"


def dropped() -> int:
    """Packets that the rule has dropped so far."""
    shown = subprocess.run(
        ["iptables", "-w", "5", "-nvxL", "KUBE-FIREWALL"], capture_output=True, text=True, check=True
    )
    lines = [line for line in shown.stdout.splitlines() if "block incoming localnet connections" in line]
    return sum(int(line.split()[0]) for line in lines)


def test_pods_do_not_reach_the_hosts_loopback(own_node: Callable[..., NodeUnderTest]) -> None:
    """With the network programs, whose rules have nothing against it (the native network's guard is of
    tests/node/cni/test_pod_rules.py): a pod whose network sends 127.0.0.1 to the bridge gets to a port of the host on the
    bridge, and to none on 127.0.0.1; the rule is set once and stays when the agent stops."""
    node = own_node(cni={"provider": "programs"})
    node.start()
    node.apply(make_pod("host-port", container("c", ports=[{"containerPort": 80, "hostPort": free_port()}])))
    node.running("host-port")
    assert Path(f"/proc/sys/net/ipv4/conf/{node.bridge}/route_localnet").read_text() == "1\n"
    (net,) = (node.directory / "run").glob("runc/pods/*/net")
    inside = ["nsenter", f"--net={net}"]
    gateway = subprocess.run(
        [*inside, "ip", "-o", "-4", "route", "show", "default"], capture_output=True, text=True, check=True
    ).stdout.split()[2]
    for command in (
        "sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0",
        "ip addr del 127.0.0.1/8 dev lo",
        f"ip route add 127.0.0.1/32 via {gateway} dev eth0",
    ):
        subprocess.run([*inside, *command.split()], check=True)

    def reaches(address: str, port: int) -> bool:
        argv = [*inside, sys.executable, "-c", CONNECT, address, str(port)]
        return subprocess.run(argv, capture_output=True, timeout=30, check=False).returncode == 0

    with socket.create_server(("0.0.0.0", 0)) as everywhere, socket.create_server(("127.0.0.1", 0)) as here:
        assert reaches(gateway, everywhere.getsockname()[1])
        # the rule is the machine's and may be of an agent before this one: that it is set by each is told by each
        eventually(lambda: "what listens on 127.0.0.1 is closed to pods" in node.log(), "this agent has set the rule")
        assert "KUBE-FIREWALL" in _rules()
        before = dropped()
        assert not reaches("127.0.0.1", here.getsockname()[1])
        assert dropped() > before, "it was this rule"
        assert not reaches("127.0.0.1", everywhere.getsockname()[1])
    for line in ("-A INPUT -j KUBE-FIREWALL", "-A OUTPUT -j KUBE-FIREWALL"):
        assert _rules().splitlines().count(line) == 1
    node.stop()
    assert "-A INPUT -j KUBE-FIREWALL" in _rules()


def _rules() -> str:
    return subprocess.run(["iptables", "-w", "5", "-S"], capture_output=True, text=True, check=True).stdout
