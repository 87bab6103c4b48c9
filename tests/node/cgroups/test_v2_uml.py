"""The OCI engine under pure cgroup v2: User-Mode Linux, booted by hack/uml/run."""

import sys
from pathlib import Path

import pytest
from uml import run_in_uml

pytestmark = pytest.mark.node

INNER = Path(__file__).with_name("engine_on_v2.py")


@pytest.mark.timeout(300)
def test_the_engine_on_cgroup_v2() -> None:
    """Limits, exec, OOMKilled and removal are right inside, with runc and with crun (engine_on_v2.py)."""
    pytest_inside = (sys.executable, "-m", "pytest", INNER, "-q", "-p", "no:cacheprovider", "-W", "ignore")
    done = run_in_uml(*pytest_inside, seconds=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
