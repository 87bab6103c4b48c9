"""`nodeagent csi driver`."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from csi import errors
from csi.client import Client

pytestmark = [pytest.mark.node, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
COMMAND = [str(Path(sys.executable).with_name("nodeagent")), "csi", "driver"]


def test_it_serves_until_told_to_stop(tmp_path: Path) -> None:
    """A driver of that name answers at the endpoint, and after SIGTERM its socket is gone; wrong options are usage errors."""
    socket = tmp_path / "s"
    options = [f"--endpoint=unix://{socket}", f"--state-dir={tmp_path / 'state'}", "--driver-name=mine.example"]
    process = subprocess.Popen([*COMMAND, *options], stderr=subprocess.DEVNULL)
    client = Client.at(f"unix://{socket}")
    for _ in range(1200):
        try:
            plugin = asyncio.run(client.identity.plugin())
            break
        except errors.CSIError:
            assert process.poll() is None
            time.sleep(0.05)
    assert plugin.name == "mine.example"
    process.terminate()
    assert process.wait(30) == 0
    assert not socket.exists()
    wrong = subprocess.run([*COMMAND, "--endpoint=tcp://x"], capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode == 2
    assert "is not a unix socket" in wrong.stderr
