"""Clients that ask for much and do not read it: the agent and its API keep within bounds, and others are served meanwhile."""

import base64
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from node_under_test import NodeUnderTest, eventually, pod_object

pytestmark = pytest.mark.node

MANY = 200_000_000
BOUND_BYTES = (
    64 * 1024 * 1024
)  # for all four together; one alone that kept what is not read would take three times that
EXEC = f"head -c {MANY} /dev/zero; touch /tmp/done-"


def connect(node: NodeUnderTest, directory: Path) -> ssl.SSLSocket:
    """A TLS connection to the node's endpoint as the administrator, which takes little at a time."""
    user = yaml.safe_load(node.kubeconfig.read_text())["users"][0]["user"]
    pair = directory / "pair.pem"
    pair.write_bytes(b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(pair)
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    plain.settimeout(60)
    plain.connect(("127.0.0.1", node.port))
    return context.wrap_socket(plain)


@contextlib.contextmanager
def asked(node: NodeUnderTest, directory: Path, path: str, *headers: str, status: int) -> Iterator[None]:
    """A request of which only the beginning of the answer is read."""
    with connect(node, directory) as connection:
        method = "POST" if any("SPDY" in header for header in headers) else "GET"
        connection.sendall("\r\n".join((f"{method} {path} HTTP/1.1", "Host: node", *headers, "", "")).encode())
        head = connection.recv(1000)
        assert head.startswith(f"HTTP/1.1 {status} ".encode()), head
        yield


def memory(processes: list[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in processes)


def test_who_does_not_read(own_node: Callable[..., NodeUnderTest], tmp_path: Path) -> None:
    """Four clients ask for 200 MB each, of a log and of a command's output, at the node and through the API, and stop reading.
    The memory of agent and API grows by little; the commands wait; logs and exec of others work."""
    node = own_node(kubelet={"containerLogMaxSize": "1Gi"})
    node.start()
    line = "0123456789" * 10
    node.apply(pod_object("much", "sh", "-c", f"yes {line} | head -c {MANY}; touch /tmp/written; sleep 1000"))
    node.running("much")
    eventually(lambda: "written" in node.kubectl("exec", "much", "--", "ls", "/tmp"), "200 MB of log")
    assert node.agent is not None
    agent = psutil.Process(node.agent.pid)
    processes = [
        agent,
        *(child for child in agent.children(True) if "nodeagent.apiserver" in " ".join(child.cmdline())),
    ]
    assert len(processes) == 2
    before = memory(processes)
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}"
    command = f"command=sh&command=-c&command={EXEC.replace(' ', '%20').replace(';', '%3B')}"
    environment = {**os.environ, "KUBECONFIG": str(node.kubeconfig)}
    through_api = [
        ["kubectl", "logs", "-f", "much"],
        ["kubectl", "exec", "much", "--", "sh", "-c", f"{EXEC}api"],
    ]
    with contextlib.ExitStack() as stack:
        stack.enter_context(asked(node, tmp_path, "/containerLogs/default/much/c?follow=true", status=200))
        websocket = (*upgrade, key, "Sec-WebSocket-Protocol: v5.channel.k8s.io")
        stack.enter_context(asked(node, tmp_path, f"/exec/default/much/c?{command}ws&output=1", *websocket, status=101))
        for arguments in through_api:
            client = stack.enter_context(subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE))
            stack.callback(client.kill)
            assert client.stdout is not None
            client.stdout.read(1)
            client.send_signal(signal.SIGSTOP)
        peak = 0
        for _ in range(12):  # whoever collects what is not read has all of it by then
            time.sleep(0.25)
            peak = max(peak, memory(processes))
        names = node.kubectl("exec", "much", "--", "ls", "/tmp")
        assert "done-" not in names, "the commands wait for their readers"
        assert len(node.kubectl("logs", "much", "--tail=2").splitlines()) == 2
        print(f"memory: {before} bytes before, at most {peak} meanwhile")
        assert peak - before < BOUND_BYTES
    eventually(lambda: "done-" not in node.kubectl("exec", "much", "--", "ps"), "nothing runs for who has gone")
    assert json.loads(node.kubectl("get", "pod", "much", "-o", "json"))["status"]["phase"] == "Running"
