import signal
import subprocess
import sys


def test_die_with_parent() -> None:
    """A program that has asked for it ends with whoever started it, also when that was killed."""
    child = "from runtimes.linux import syscalls; syscalls.die_with_parent(); print(); import time; time.sleep(600)"
    parent = f"""
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE)
child.stdout.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""
    # Its end closes stderr, which this waits for.
    done = subprocess.run([sys.executable, "-c", parent], stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, b"")
