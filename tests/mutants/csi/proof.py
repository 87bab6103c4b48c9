"""A run of the shipped suite on drivers of this folder, as a process of its own; and what became of each case."""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

_REPO: Final = Path(__file__).resolve().parents[3]
_MOST_SECONDS: Final = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A driver to be tested: the reference driver in a form, wrapped into `drivers` (none: healthy). `cases` empty: all."""

    form: str = "directory"
    drivers: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "+".join(self.drivers) or f"healthy-{self.form}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Of one case, or one of its parameters. A recommendation that is not kept has `failed`."""

    subject: str
    case: str
    level: str
    outcome: Literal["passed", "failed", "skipped"]
    why: str


def run(subjects: Sequence[Subject], folder: Path) -> list[Outcome]:
    """`folder`: for its files. Raises AssertionError where the run itself went wrong."""
    plan, outcomes = folder / "plan.json", folder / "outcomes.json"
    plan.write_bytes(msgspec.json.encode(subjects))
    here = Path(__file__).parent
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-p", "csi.testing.plugin", "-p", "tests.mutants.csi.plugin"),
            # not beside tests/conftest.py, which is for the whole suite
            *(f"--confcutdir={here}", f"--rootdir={_REPO}", str(here / "cases.py")),
            *(f"--plan={plan}", f"--outcomes={outcomes}", "--tb=short"),
        ],
        cwd=_REPO,
        env=os.environ | {"PYTHONPATH": f"{_REPO}:{_REPO}/tests/support"},
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout[-10_000:] + done.stderr[-10_000:]
    return msgspec.json.decode(outcomes.read_bytes(), type=list[Outcome])


def broken(outcomes: Iterable[Outcome], subject: str, *, level: str = "") -> dict[str, str]:
    """Cases that failed on `subject` -> why; of one level, or of all."""
    return {
        each.case: each.why
        for each in outcomes
        if (each.subject, each.outcome) == (subject, "failed") and level in ("", each.level)
    }
