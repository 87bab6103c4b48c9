"""The same promises on a kernel with pure cgroup v2: User-Mode Linux, booted by hack/uml/run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(os.environ.get("UML") == "1", reason="this is the inner run"),
    pytest.mark.skipif(shutil.which("linux.uml") is None, reason="linux.uml is not installed (user-mode-linux)"),
]

PROJECT = Path(__file__).resolve().parents[3]
TESTS = Path(__file__).with_name("test_pod_cgroups.py")


@pytest.mark.timeout(300)
def test_pod_cgroups_on_cgroup_v2() -> None:
    """Every test of test_pod_cgroups.py passes inside a kernel whose only hierarchy is cgroup v2."""
    inner = [sys.executable, "-m", "pytest", str(TESTS), "-q", "-p", "no:cacheprovider", "-W", "ignore"]
    done = subprocess.run(
        [PROJECT / "hack/uml/run", "--timeout", "240", "--", *inner],
        cwd=PROJECT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 passed" in done.stdout


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("command", "status"), [("exit 0", 0), ("exit 7", 7)])
def test_the_harness_passes_status_and_output_on(command: str, status: int, tmp_path: Path) -> None:
    """hack/uml/run answers the inner command's exit status, output and files, and the machine's own tree is untouched."""
    mark = Path(f"/var/tmp/{tmp_path.name}-mark")
    script = f"touch {mark}; grep cgroup2 /proc/mounts; echo kept > $UML_OUT/file; {command}"
    done = subprocess.run(
        [PROJECT / "hack/uml/run", "--timeout", "60", "--out", tmp_path / "out", "--", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (status, "none /sys/fs/cgroup cgroup2 rw,relatime 0 0\n")
    assert (tmp_path / "out/file").read_text() == "kept\n"
    assert not mark.exists()


@pytest.mark.timeout(60)
def test_the_harness_ends_on_time() -> None:
    """A command that hangs is killed with its kernel; the status is 124 and no kernel process stays."""
    done = subprocess.run(
        [PROJECT / "hack/uml/run", "--timeout", "6", "--", "sh", "-c", "echo started; sleep 1000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (124, "started\n")
    assert "not done after 6 s" in done.stderr
