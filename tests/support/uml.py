"""Commands under a real kernel with pure cgroup v2, for tests: hack/uml/run, or a skip that says what was not tested."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from components import cannot_be_tested, require

PROJECT = Path(__file__).resolve().parents[2]
RUN = PROJECT / "hack/uml/run"
NOT_BOOTED, NOT_INSTALLED = 125, 126
INSIDE_OUT = "/run/uml-job/out"  # as hack/uml/run says in UML_OUT
_BAD = ("failure", "error", "skipped")


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


@dataclass(frozen=True, slots=True)
class InnerTests:
    """What became of a file's tests inside: by function, the reports of those that did not pass, and how many did."""

    output: str
    failures: dict[str, list[str]]
    passed: dict[str, int]

    def expect_passed(self, function: str) -> None:
        """Fails with the reports of the tests of one function, or with all output where it was not reached."""
        failures = self.failures.get(function, [])
        assert not failures, "\n\n".join(failures)
        assert self.passed.get(function, 0) > 0, f"{function} was not run:\n{self.output[-6000:]}"


def functions_of(file: Path) -> list[str]:
    """The tests of a file that is run inside, by name, in their order."""
    return re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)


def run_tests_in_uml(*files: Path, out: Path, seconds: float, options: Sequence[str] = ()) -> InnerTests:
    """Run files of tests in one kernel, which lives for at most `seconds`. `out` takes their report (JUnit's XML)."""
    report = f"--junitxml={INSIDE_OUT}/report.xml"
    pytest_inside = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", report, *options)
    done = run_in_uml(*pytest_inside, *files, seconds=seconds, options=["--out", str(out)])
    output, failures, passed = done.stdout + done.stderr, dict[str, list[str]](), dict[str, int]()
    if (out / "report.xml").exists():
        for case in ElementTree.parse(out / "report.xml").getroot().iter("testcase"):
            function = str(case.get("name")).partition("[")[0]
            told = [
                f"{case.get('name')} {each.tag}: {each.get('message')}\n{each.text}"
                for each in case
                if each.tag in _BAD
            ]
            failures.setdefault(function, []).extend(told)
            passed[function] = passed.get(function, 0) + (not told)
    return InnerTests(output, failures, passed)
