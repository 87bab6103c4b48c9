"""The conformance suite on a kernel with pure cgroup v2 (User-Mode Linux)."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.node

ROOT = Path(__file__).parents[3]
TESTS = "limits or memory or metrics_of_what or statistics or runs_to_its_end or namespaces_of_a_pod or idempotent or shared_pid"


@pytest.mark.timeout(600)
async def test_cgroup_v2():
    """Limits, OOM kills, updates, statistics and removal are the same as on v1, with runc and crun."""
    if shutil.which("linux.uml") is None:
        pytest.skip("user-mode-linux is not installed")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "hack" / "uml" / "run"),
        "--timeout=500",
        "--",
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/conformance/runtimes",
        "-k",
        f"(runc or crun) and ({TESTS}) and not user_namespace",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")[-6000:]
    assert b" passed" in output
    assert b" skipped" not in output
