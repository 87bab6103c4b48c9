"""Errors of strangers cost no log; what variables are put into lies on no disk. A real agent and its embedded API."""

import contextlib
import json
import socket
import ssl

import pytest
from node_under_test import NodeUnderTest
from pods_under_test import finished, make_pod, shell

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-quiet")]

NONSENSE = (
    b"nonsense\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n",
    b"GET /" + b"x" * 2_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 2_000_000 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01",
)


def say(address: str, port: int, data: bytes, *, tls: bool) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        contextlib.suppress(OSError),
        socket.create_connection((address, port), timeout=10) as plain,
        context.wrap_socket(plain) if tls else contextlib.nullcontext(plain) as connection,
    ):
        connection.sendall(data)
        while connection.recv(65536):
            pass


def test_strangers_errors_are_not_logged(node: NodeUnderTest) -> None:
    """Malformed requests, with TLS and without, to the node and to the API: answered or ended, and not a line in the log."""
    address = json.loads(node.kubectl("get", "node", node.name, "-o", "json"))["status"]["addresses"][0]["address"]
    api = int(node.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}").rpartition(":")[2])
    before = len(node.log())
    for host, port in ((address, node.port), ("127.0.0.1", api)):
        for data in NONSENSE:
            for tls in (True, False):
                say(host, port, data, tls=tls)
    node.kubectl("get", "nodes")
    said = [line for line in node.log()[before:].splitlines() if " DEBUG " not in line]
    assert not [line for line in said if "Error handling request" in line or "Traceback" in line], said


def test_secrets_in_a_command_line_are_not_on_the_disk(node: NodeUnderTest) -> None:
    """A secret that is put into args is seen by the container and lies in no record of the runtime's that outlives a reboot."""
    secret = "TOPSECRETVALUE"
    node.kubectl("create", "secret", "generic", "s", f"--from-literal=k={secret}")
    variable = {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    node.apply(make_pod("told", shell("c", "test $(S) = $S; echo $?; sleep 100000", env=[variable])))
    node.apply(make_pod("ends", shell("c", "test $(S) = $S", env=[variable]), restartPolicy="Never"))
    node.running("told")
    assert node.pod_when("ends", finished)["status"]["phase"] == "Succeeded"
    state = node.directory / "state" / "runtimes"
    found = [path for path in state.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert found == []
    assert node.kubectl("logs", "told") == "0\n"
