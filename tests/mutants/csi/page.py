"""docs/testing-csi-proof.md: which case catches which fault, and which oddities nothing is blamed for. Written by
hack/generate-csi-proof, once the suite has done so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.mutants.csi import MUTANTS, ODD
from tests.mutants.csi.proof import Outcome, Subject, broken

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "testing-csi-proof.md"
# of the whole suite, that of a driver without a Controller
_FEWEST: Final = 30
_HEAD = """# Proof that the CSI suite tests

Written by hack/generate-csi-proof: do not edit.

`tests/mutants/csi/` has {faults} CSI drivers with one fault each, such as authors make, and {odd} that are odd and allowed.
Each is [the reference driver](testing-csi.md#a-driver-to-test-against) with one thing done otherwise.
The shipped suite is run on them: each case that is named must fail, and the one that is named first passes on the healthy driver;
on the odd ones no case that is a `must` may fail. This page is written only when it was so. In every run of the project's tests
`tests/conformance/csi/test_mutants.py` does it again with {chosen} of them, one for each case that is named first, and with all
that is odd.

What no case catches, and should, is worth a class of its own there: a few lines, and a new case.
"""


def text() -> str:
    """What the page is to be."""
    return "\n".join(
        (_HEAD.format(faults=len(MUTANTS), odd=len(ODD), chosen=len(one_for_each_case())), *_faults(), *_odd())
    )


def _faults() -> Iterator[str]:
    file = ""
    for mutant in MUTANTS.values():
        if (name := mutant.__module__.rpartition(".")[2]) != file:
            yield f"{'' if not file else chr(10)}## Faults: {name}\n\n| fault | caught by | and by |\n|---|---|---|"
            file = name
        yield f"| {_said(mutant)} | {mutant.caught_by} | {', '.join(mutant.also)} |"
    yield ""


def _odd() -> Iterator[str]:
    yield "## Odd, and allowed\n\n| what | where the specification allows it |\n|---|---|"
    for odd in ODD.values():
        what, _, where = _said(odd).rstrip(".").rstrip(")").partition(" (")
        yield f"| {what} | {where} |"
    yield ""


def _said(of: type) -> str:
    return " ".join((of.__doc__ or "").split()).replace("|", "\\|")


def one_for_each_case() -> list[Subject]:
    """For each case that must catch something, the first mutant that it must catch, with that case alone."""
    first = {mutant.caught_by: name for name, mutant in reversed(MUTANTS.items())}
    return [
        Subject(form=mutant.form, drivers=(name,), cases=(mutant.caught_by,))
        for name, mutant in MUTANTS.items()
        if first[mutant.caught_by] == name
    ]


def plan() -> list[Subject]:
    """Each mutant with the cases that are named for it, and the healthy driver with those that must catch it."""
    faulty, healthy = list[Subject](), dict[tuple[str, str], set[str]]()
    for name, mutant in MUTANTS.items():
        faulty.append(Subject(form=mutant.form, drivers=(name,), cases=(mutant.caught_by, *mutant.also)))
        healthy.setdefault((mutant.form, mutant.control), set()).add(mutant.caught_by)
    controls = [
        Subject(form=form, drivers=(control,) if control else (), cases=tuple(sorted(cases)))
        for (form, control), cases in healthy.items()
    ]
    return [*faulty, *controls]


def missed(outcomes: list[Outcome], subjects: list[Subject]) -> list[str]:
    """Faults that a case which is named for them has not caught, and cases that blamed the healthy driver."""
    wrong = []
    for subject in subjects:
        failed = broken(outcomes, subject.name)
        passed = {each.case for each in outcomes if (each.subject, each.outcome) == (subject.name, "passed")}
        if set(subject.drivers) & set(MUTANTS):
            wrong += [f"{subject.name} is not caught by {case}" for case in subject.cases if case not in failed]
        else:
            wrong += [f"{subject.name} fails {case}: {why}" for case, why in failed.items()]
            wrong += [f"{subject.name} does not pass {case}" for case in subject.cases if case not in passed]
    return wrong


def blamed(outcomes: list[Outcome], subjects: list[Subject]) -> list[str]:
    """Musts that blame what is odd and allowed, and what was hardly asked anything."""
    wrong = []
    for subject in subjects:
        failed = broken(outcomes, subject.name, level="must")
        wrong += [f"{subject.name} is blamed by {case}: {why}" for case, why in failed.items()]
        passed = {each.case for each in outcomes if (each.subject, each.outcome) == (subject.name, "passed")}
        if passed != set(subject.cases) if subject.cases else len(passed) <= _FEWEST:
            wrong.append(f"{subject.name} passes {len(passed)} cases only")
    return wrong
