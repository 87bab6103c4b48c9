"""The OCI engine under pure cgroup v2: User-Mode Linux, booted by hack/uml/run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.node

PROJECT = Path(__file__).resolve().parents[3]
INNER = Path(__file__).with_name("engine_on_v2.py")


@pytest.mark.skipif(shutil.which("linux.uml") is None, reason="linux.uml is not installed (user-mode-linux)")
@pytest.mark.timeout(300)
def test_the_engine_on_cgroup_v2() -> None:
    """Limits, exec, OOMKilled and removal are right inside, with runc and with crun (engine_on_v2.py)."""
    inner = [sys.executable, "-m", "pytest", INNER, "-q", "-p", "no:cacheprovider", "-W", "ignore"]
    done = subprocess.run(
        [PROJECT / "hack/uml/run", "--timeout", "240", "--", *inner],
        cwd=PROJECT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
