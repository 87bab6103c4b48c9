"""Stock kubectl, an old one and a new one, against a node under test."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from components import MARK
from node_under_test import REPO, NodeUnderTest

# 1.20 streams over SPDY everywhere; 1.32 over WebSocket, with SPDY tunnelled in it. hack/install-deps fetches the old one.
KUBECTL_120 = Path(
    os.environ.get("NODEAGENT_KUBECTL_120", REPO / ".tools" / "kubectl-1.20" / "usr" / "bin" / "kubectl")
)
NO_120 = "kubectl 1.20 (hack/install-deps could not fetch it)"
CLIENTS = [
    pytest.param(
        str(KUBECTL_120), id="1.20", marks=pytest.mark.skipif(not KUBECTL_120.exists(), reason=f"{MARK}{NO_120}")
    ),
    pytest.param(shutil.which("kubectl") or "kubectl", id="1.32"),
]


def _environment(node: NodeUnderTest) -> dict[str, str]:
    return {**os.environ, "KUBECONFIG": str(node.kubeconfig), "HOME": str(node.directory), "TERM": "xterm"}


def run(node: NodeUnderTest, client: str, *arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """One command to its end, with bytes in and out."""
    return subprocess.run([client, *arguments], input=stdin, env=_environment(node), capture_output=True, timeout=60)


def in_terminal(node: NodeUnderTest, client: str, *arguments: str) -> bytes:
    """What a command prints that has a terminal of 33 rows and 111 columns."""
    command = f"stty rows 33 cols 111; {client} {' '.join(arguments)}"
    return run(node, "script", "-qec", command, "/dev/null").stdout


@contextlib.contextmanager
def forwarded(node: NodeUnderTest, client: str, pod: str, port: int) -> Iterator[str]:
    """The address at which `kubectl port-forward` listens."""
    forward = subprocess.Popen(
        [client, "port-forward", f"pod/{pod}", f":{port}", "--address=127.0.0.1"],
        env=_environment(node),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert forward.stdout is not None
        line = forward.stdout.readline()
        found = re.search(r"127\.0\.0\.1:\d+", line)
        assert found, line
        yield f"http://{found[0]}"
    finally:
        forward.terminate()
        forward.communicate(timeout=30)
