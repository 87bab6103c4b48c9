"""Commands under a real kernel with pure cgroup v2, for tests: hack/uml/run, or a skip that says what was not tested."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from components import cannot_be_tested, require

PROJECT = Path(__file__).resolve().parents[2]
RUN = PROJECT / "hack/uml/run"
NOT_BOOTED, NOT_INSTALLED = 125, 126


def run_in_uml(
    *command: str | Path, seconds: float, options: Sequence[str] = (), environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `command` inside. Where this machine cannot boot the kernel at all, the test is skipped as NOT TESTED."""
    done = subprocess.run(
        [RUN, "--timeout", f"{seconds:g}", *options, "--", *command],
        cwd=PROJECT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": "", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode in (NOT_BOOTED, NOT_INSTALLED):
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        if done.returncode == NOT_INSTALLED:
            require("linux.uml")
        cannot_be_tested(f"cgroup v2 ({last.removeprefix('uml: ')})")
    return done
