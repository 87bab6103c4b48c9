"""Processes killed with all that is below them, on this machine's own kernel."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from runtimes.oci import gvisor, processes

# a command that starts another, in the background and in a session of its own: pids on its output
_TREE = """
import os, subprocess, sys, time
inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
print(os.getpid(), inner.pid, flush=True)
inner.wait()
print("went on", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def tree():
    """(the command, the pids of it and of its child)."""
    command = subprocess.Popen([sys.executable, "-c", _TREE], stdout=subprocess.PIPE, text=True, start_new_session=True)
    pids = [int(word) for word in command.stdout.readline().split()]
    yield command, pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    command.wait()
    command.stdout.close()


async def test_a_process_and_what_is_below_it(tree):
    """Killed from the top: the parent does not go on when its child has ended; what was killed is told, and can be awaited."""
    command, pids = tree
    killed = processes.kill_with_descendants(pids[0])
    assert [process.pid for process in killed] == pids
    assert await processes.wait_for_all(killed, 10) == []
    assert command.wait(10) == -signal.SIGKILL
    assert command.stdout.read() == ""
    await processes.wait_for_reaping(killed, 10)
    assert processes.kill_with_descendants(pids[0]) == []


async def test_those_who_do_not_end(tree):
    """A process that lives on after the time is named."""
    _, pids = tree
    alive = processes.identify(pids[0])
    assert await processes.wait_for_all([alive], 0.01) == [alive]


def test_sessions(tree):
    """Of others only those are killed that belong to a session of what was killed."""
    _, pids = tree
    stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    orphan = pids[1]
    try:
        killed = processes.kill_below(pids[0], [orphan, stranger.pid])
        assert {process.pid for process in killed} == {orphan}
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_descendants_inside_a_sandbox():
    """Parents first; strangers and the command's own parent are left out."""
    assert gvisor.descendants(5, {1: 0, 5: 0, 6: 5, 7: 6, 8: 5, 9: 1}) == [5, 6, 8, 7]
    assert gvisor.descendants(5, {}) == [5]
