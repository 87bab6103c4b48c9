"""The same promises on a kernel with pure cgroup v2: User-Mode Linux, booted by hack/uml/run."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from node_under_test import eventually
from uml import NOT_BOOTED, RUN, run_in_uml

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(os.environ.get("UML") == "1", reason="this is the inner run"),
]

TESTS = (
    Path(__file__).with_name("test_pod_cgroups.py"),
    Path(__file__).with_name("test_memory_runs_short.py"),
    Path(__file__).parents[2] / "conformance/cgroups/test_contract.py",
)
LARGE_XSTATE = Path(__file__).with_name("large_xstate.c")


@pytest.mark.timeout(300)
def test_pod_cgroups_on_cgroup_v2() -> None:
    """Pod cgroups and the contract's suite pass inside a kernel whose only hierarchy is cgroup v2."""
    pytest_inside = (sys.executable, "-m", "pytest", *map(str, TESTS), "-q", "-p", "no:cacheprovider", "-W", "ignore")
    done = run_in_uml(*pytest_inside, seconds=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("command", "status"), [("exit 0", 0), ("exit 7", 7)])
def test_the_harness_passes_status_and_output_on(command: str, status: int, tmp_path: Path) -> None:
    """hack/uml/run answers the inner command's exit status, output and files, and the machine's own tree is untouched."""
    mark = Path(f"/var/tmp/{tmp_path.name}-mark")
    script = f"touch {mark}; grep cgroup2 /proc/mounts; echo kept > $UML_OUT/file; {command}"
    done = run_in_uml("sh", "-c", script, seconds=60, options=["--out", str(tmp_path / "out")])
    assert (done.returncode, done.stdout) == (status, "none /sys/fs/cgroup cgroup2 rw,relatime 0 0\n")
    assert (tmp_path / "out/file").read_text() == "kept\n"
    assert not mark.exists()


@pytest.mark.timeout(120)
def test_the_harness_ends_on_time() -> None:
    """A command that hangs is killed with its kernel; the status is 124 and no kernel process stays."""
    for seconds in (6, 18, 54):  # the kernel boots in this time as well: on a busy machine it needs more
        done = run_in_uml("sh", "-c", "echo started; sleep 1000", seconds=seconds)
        assert done.returncode == 124
        assert f"not done after {seconds} s" in done.stderr
        if done.stdout:
            break
    assert done.stdout == "started\n"


@pytest.mark.timeout(120)
def test_nothing_outlives_the_harness(tmp_path: Path) -> None:
    """Whoever kills it with SIGKILL has killed the kernel, and what that has of processes on the machine."""
    mark = tmp_path / "mark"
    with open(mark, "wb") as output:
        run = subprocess.Popen([RUN, "--", "sh", "-c", "echo runs; sleep 1000"], stdout=output)
        try:
            eventually(lambda: mark.read_text() == "runs\n", "the command runs")
            kernel = [process.pid for process in psutil.Process(run.pid).children(recursive=True)]
        finally:
            run.kill()
            run.wait()
    assert len(kernel) > 3
    eventually(lambda: not [pid for pid in kernel if psutil.pid_exists(pid)], "they are gone")


@pytest.mark.timeout(60)
def test_a_kernel_that_ends_early_is_no_kernel_that_cannot_boot() -> None:
    """Status 123, which fails a test; only what never came up counts as not tested."""
    done = run_in_uml("sh", "-c", "echo o > /proc/sysrq-trigger; sleep 60", seconds=50)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (123, "uml: the kernel ended before the command did")


@pytest.mark.timeout(120)
@pytest.mark.skipif(platform.machine() != "x86_64" or shutil.which("cc") is None, reason="x86-64 and a C compiler")
def test_a_processor_with_a_larger_state(tmp_path: Path) -> None:
    """As on processors with AMX (large_xstate.c plays the host): without xstate.c the kernel does not come up, and the
    harness says why; with it the kernel boots, and floating point inside is right across system calls."""
    host = tmp_path / "host.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(host), str(LARGE_XSTATE)], check=True, timeout=60)
    if " amx_tile" not in Path("/proc/cpuinfo").read_text():  # there it is always preloaded
        alone = subprocess.run(
            [RUN, "--timeout", "50", "--", "true"],
            env={**os.environ, "LD_PRELOAD": str(host)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert alone.returncode == NOT_BOOTED, alone.stdout + alone.stderr
        why = "uml: the kernel does not come up here: userspace - ptrace set fp regs failed, errno = 14"
        assert alone.stderr.splitlines()[-1] == why
    sums = "import os; x = 1.5\nfor i in range(2000): x = x * 1.25 % 7.0; os.getppid()\nprint(x)"
    done = run_in_uml(
        sys.executable, "-c", sums, seconds=50, options=["--xstate"], environment={"LD_PRELOAD": str(host)}
    )
    outside = subprocess.run([sys.executable, "-c", sums], capture_output=True, text=True, check=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, outside.stdout), done.stderr
