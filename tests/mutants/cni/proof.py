"""A run of the suite over mutants (over_mutants.py): what it is given, what became of each check, and what that says."""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from cni.testing import suite
from cni.testing.levels import check_id, described

from . import program
from .mutant import Mutant, Odd

# name of a mutant, or of a real network -> check -> how it ended, once for each of its parameters
Outcomes = Mapping[str, Mapping[str, set[str]]]
_LINE: Final = re.compile(
    r"^\S+::test_([a-z]+\d+)_\w+\[(\w[\w. ]*\w).*\] (PASSED|FAILED|ERROR|SKIPPED|XFAIL)", re.MULTILINE
)
_BROKEN: Final = frozenset({"FAILED", "ERROR"})
_MUSTS: Final = frozenset(
    check_id(name) for name, function in vars(suite).items() if described(function).get("level") == "must"
)
ARGUMENTS: Final = ("mutants/over_mutants.py", "-vv", "--tb=no")


def prepare(folder: Path, what: str, real: Iterable[Path]) -> dict[str, str]:
    """Copy the mutants into `folder`, where pytest is to run with ARGUMENTS. Its environment, beside what it has already.

    `what`: MUTANTS of over_mutants.py; `real`: where the real plugins are.
    """
    shutil.copytree(Path(__file__).parent, folder / "mutants", ignore=shutil.ignore_patterns("__pycache__"))
    return {
        "MUTANTS": what,
        "MUTANTS_FOLDER": str(folder / "made"),
        "MUTANTS_REAL": os.pathsep.join(map(str, real)),
    }


def outcomes(folder: Path, said: str) -> Outcomes:
    """Of a run that has ended. Raises AssertionError where it went wrong, or a mutant did what it was not meant to."""
    assert re.search(r"\d+ (passed|failed)\b.* in [\d.]+s", said), said[-4000:]
    broken = [path.read_text() for path in (folder / "made").rglob(program.BROKEN)]
    assert not broken, "\n".join(broken)
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for check, name, outcome in _LINE.findall(said):
        found[name][check.upper()].add(outcome)
    return found


def missed(found: Outcomes, mutants: Iterable[Mutant], *, also: bool = False) -> list[str]:
    """Faults that a check which is named for them has not caught; `also`: the others that are named, too."""
    return [
        f"{mutant.name} is not caught by {check}"
        for mutant in mutants
        for check in (*mutant.caught_by, *(mutant.also if also else ()))
        if not found.get(mutant.name, {}).get(check, set()) & _BROKEN
    ]


def blamed(found: Outcomes, odd: Iterable[Odd]) -> list[str]:
    """Musts that blame what is allowed, and what has not been run."""
    wrong = [f"{each.name} has not been run" for each in odd if each.name not in found]
    for each in odd:
        ends = found.get(each.name, {})
        wrong += [f"{each.name} fails {check}" for check in ends if ends[check] & _BROKEN and check in _MUSTS]
    return wrong


def blamed_real(found: Outcomes) -> list[str]:
    """Checks that a real plugin has not passed; some of a check's parameters may be about what it does not claim."""
    real = {name: ends for name, ends in found.items() if name.startswith("real ")}
    return [
        f"{name} {check}: {', '.join(sorted(ends[check]))}"
        for name, ends in real.items()
        for check in ends
        if not {"PASSED"} <= ends[check] <= {"PASSED", "SKIPPED"}
    ]
