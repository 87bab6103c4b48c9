"""The server as a process: how it starts, refuses to, and ends."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.node


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nodeagent.apiserver", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_port_in_use(own_server: Any, tmp_path: Path) -> None:
    """A port that is taken: one line that says so, exit 1."""
    port = own_server.url.rpartition(":")[2]
    done = run("--state-dir", str(tmp_path / "other"), "--node-name", "n", "--port", port)
    assert (done.returncode, done.stdout, "address already in use" in done.stderr) == (1, "", True)


def test_state_in_use(own_server: Any) -> None:
    """A second server on the same state is refused."""
    done = run("--state-dir", str(own_server.state_dir), "--node-name", "n1", "--port", "0")
    assert (done.returncode, "locked" in done.stderr) == (1, True)


def test_state_unusable(tmp_path: Path) -> None:
    """A damaged store is refused with its path, not replaced."""
    (tmp_path / "state.db").write_bytes(b"not a database at all, sorry" * 200)
    done = run("--state-dir", str(tmp_path), "--node-name", "n1", "--port", "0")
    assert (done.returncode, "state.db" in done.stderr) == (1, True)
    assert (tmp_path / "state.db").read_bytes().startswith(b"not a database")


def test_bad_arguments() -> None:
    """A missing argument is exit 2."""
    assert run("--port", "0").returncode == 2


def test_ends_with_its_parent(tmp_path: Path) -> None:
    """When the process that started it is killed, the server ends by itself."""
    command = [sys.executable, "-m", "nodeagent.apiserver", "--state-dir", str(tmp_path), "--node-name", "n1"]
    parent = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(300)"
    starter = subprocess.Popen(
        [sys.executable, "-c", parent, *command, "--port", "0", "--exit-with-parent"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert starter.stdout is not None
    server = os.pidfd_open(int(starter.stdout.readline()))
    assert '"ready": true' in starter.stdout.readline()
    starter.send_signal(signal.SIGKILL)
    starter.wait(30)
    starter.stdout.close()
    readable, _, _ = select.select([server], [], [], 30)
    os.close(server)
    assert readable, "the server outlived its parent"


def test_stop_ends_watches(own_server: Any) -> None:
    """SIGTERM ends open watches cleanly and exits 0."""
    watch = subprocess.Popen(
        ["kubectl", "get", "pods", "-A", "-w"],
        env={**os.environ, "KUBECONFIG": str(own_server.kubeconfig)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    own_server.request("GET", "/api/v1/pods?watch=true&timeoutSeconds=1")
    assert own_server.stop() == 0
    watch.terminate()
    watch.wait(30)


def test_idle_server_sleeps(own_server: Any) -> None:
    """Nothing to do costs nothing: an idle second takes no CPU to speak of."""
    time.sleep(1.0)
    before = cpu_ticks(own_server.process.pid)
    time.sleep(2.0)
    assert cpu_ticks(own_server.process.pid) - before <= 2


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
