"""What tests of nodes start in place of `python -m nodeagent`."""

import os
import signal
from pathlib import Path

from forked_agents import ForkedAgent, ForkedAgents
from node_under_test import eventually


def test_forks_are_the_program(tmp_path: Path) -> None:
    """Each has its own command line, output and end."""
    agents = ForkedAgents()

    def started(name: str, *arguments: str) -> ForkedAgent:
        with (tmp_path / name).open("wb") as log:
            return agents.start(arguments, log.fileno())

    version, wrong = started("version", "version"), started("wrong", "run", "--no-such-option")
    assert [each.wait(60) for each in (version, wrong)] == [0, 2]
    assert (tmp_path / "version").read_text().startswith("nodeagent ")
    assert "No such option: --no-such-option" in (tmp_path / "wrong").read_text()
    wrong.send_signal(signal.SIGTERM)  # to nobody: its number may be another's
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # who reads its configuration there waits
    waits = started("waits", "run", f"--config={pipe}")
    eventually(lambda: b"--config=" in Path(f"/proc/{waits.pid}/cmdline").read_bytes(), "it has its own name")
    assert waits.poll() is None
    waits.kill()
    assert (waits.wait(60), waits.returncode) == (-signal.SIGKILL, -signal.SIGKILL)
