"""One suite for every implementation of the cgroup contract (runtimes/linux/cgroups/contract.py).

It runs on what this machine has, v1 or v2; tests/node/cgroups/test_under_cgroup_v2.py runs it on a kernel with v2 alone, too.
A test sees the contract only; what it makes lies below a root of its own, and what is left there fails it.
"""

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtimes.linux.cgroups.cleanup import kill_all, remove_when_empty
from runtimes.linux.cgroups.contract import Cgroups
from runtimes.linux.cgroups.detect import detect

Launch = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(scope="session")
def cgroups() -> Cgroups:
    return detect()


@pytest.fixture
def root(cgroups: Cgroups) -> Iterator[str]:
    """A cgroup of the test's own, made."""
    path = f"/natest-cgroups-{uuid.uuid4().hex[:8]}"
    cgroups.create(path)
    yield path
    kill_all(cgroups, path)
    remove_when_empty(cgroups, path)
    left = [directory for directory in cgroups.directories(path) if directory.exists()]
    assert left == []


@pytest.fixture
def launch(cgroups: Cgroups) -> Iterator[Launch]:
    """Start Python code as a process in a cgroup: it begins when it is there."""
    running: list[subprocess.Popen[bytes]] = []

    def start(path: str, code: str) -> "subprocess.Popen[bytes]":
        child = subprocess.Popen(
            [sys.executable, "-c", f"import sys; sys.stdin.readline(); {code}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        running.append(child)
        for directory in cgroups.directories(path):
            if directory.exists():
                Path(directory, "cgroup.procs").write_text(str(child.pid))
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
        return child

    yield start
    for child in running:
        child.kill()
        child.communicate()
