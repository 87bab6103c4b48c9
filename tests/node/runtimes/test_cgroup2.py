"""The conformance suite on a kernel with pure cgroup v2 (User-Mode Linux)."""

import sys

import pytest
from uml import run_in_uml

pytestmark = pytest.mark.node

TESTS = "limits or memory or metrics_of_what or statistics or idempotent"


@pytest.mark.timeout(600)
def test_cgroup_v2() -> None:
    """Limits, OOM kills, updates, statistics and removal are the same as on v1, with runc and crun."""
    chosen = f"(runc or crun) and ({TESTS}) and not user_namespace"
    pytest_inside = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/conformance/runtimes")
    done = run_in_uml(*pytest_inside, "-k", chosen, seconds=500)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout
