"""Cgroups of this machine, below a root of the test's own that is gone afterwards."""

import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from nodeagent.cgroups.pod_cgroups import PodCgroups
from runtimes.linux.cgroups.contract import Cgroups
from runtimes.linux.cgroups.detect import detect


@pytest.fixture
def cgroups() -> Cgroups:
    return detect()


@pytest.fixture
def root_name(cgroups: Cgroups) -> Iterator[str]:
    """Name of a cgroup root; what is left in it fails the test."""
    name = f"natest-cg-{uuid.uuid4().hex[:8]}"
    yield name
    left = cgroups.children(f"/{name}/kubepods")
    cgroups.kill(f"/{name}")
    cgroups.remove(f"/{name}")
    assert left == ()
    assert name not in cgroups.children("")


@pytest.fixture
async def pods(cgroups: Cgroups, root_name: str) -> AsyncIterator[PodCgroups]:
    pods = PodCgroups(cgroups, root=(root_name,))
    yield pods
    await pods.remove_all()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()
