"""What changed: verdicts by what is exposed, figures only beyond their spreads."""

from dataclasses import replace

import pytest
from isolation_reports import GVISOR, HOST_COLUMN, QUESTIONS, RUNC, finding, measured, report, with_findings

from nodeagent.isolation.contract import By, Finding, Verdict
from nodeagent.isolation.report.comparison import Kind, compare, difference

OPEN, LIMITED = finding("p"), finding("p", Verdict.LIMITED, By.RUNTIME)
BLOCKED = finding("p", Verdict.BLOCKED, By.SECCOMP)
ABSENT, FAILED = finding("p", Verdict.NOT_APPLICABLE), finding("p", Verdict.FAILED)
SAID = finding("p", Verdict.MEASURED, value="4")


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (BLOCKED, OPEN, Kind.WORSE),
        (BLOCKED, LIMITED, Kind.WORSE),
        (ABSENT, OPEN, Kind.WORSE),
        (OPEN, LIMITED, Kind.BETTER),
        (OPEN, ABSENT, Kind.BETTER),
        (LIMITED, BLOCKED, Kind.BETTER),
        (BLOCKED, ABSENT, Kind.OTHER),
        (BLOCKED, finding("p", Verdict.BLOCKED, By.CAPABILITY), Kind.OTHER),
        (LIMITED, replace(LIMITED, exposure=0.6), Kind.WORSE),
        (LIMITED, replace(LIMITED, exposure=0.4), Kind.BETTER),
        (LIMITED, replace(LIMITED, exposure=0.505), None),
        (OPEN, replace(OPEN, evidence="told otherwise", value="elsewhere"), None),
        (OPEN, FAILED, Kind.LOST),
        (FAILED, OPEN, Kind.OTHER),
        (FAILED, FAILED, None),
        (SAID, replace(SAID, value="5"), None),
        (SAID, BLOCKED, Kind.OTHER),
    ],
)
def test_findings(before: Finding, after: Finding, kind: Kind | None) -> None:
    """What is exposed decides; what a pod happened to say does not."""
    assert difference(before, after) is kind


@pytest.mark.parametrize(
    ("unit", "before", "after", "kind"),
    [
        ("ns", (90, 100, 110), (111, 120, 130), Kind.COSTLIER),
        ("ns", (90, 100, 110), (70, 80, 89), Kind.CHEAPER),
        ("ns", (90, 100, 110), (110, 120, 130), None),
        ("ns", (90, 100, 110), (70, 80, 90), None),
        ("us", (1, 2, 3), (4, 5, 6), Kind.COSTLIER),
        ("MiB", (1, 2, 3), (4, 5, 6), Kind.COSTLIER),
        ("MiB/s", (1, 2, 3), (4, 5, 6), Kind.CHEAPER),
        ("requests/s", (4, 5, 6), (1, 2, 3), Kind.COSTLIER),
        ("%", (4, 5, 6), (1, 2, 3), Kind.OTHER),
    ],
)
def test_figures(unit: str, before: tuple[float, ...], after: tuple[float, ...], kind: Kind | None) -> None:
    """More is worse of what is spent, better of what gets done, and neither where the spreads touch."""
    assert difference(measured("p", unit, *before), measured("p", unit, *after)) is kind


def test_figures_in_other_units_are_other_figures() -> None:
    """Nothing is said of which is more."""
    assert difference(measured("p", "ns", 1, 2, 3), measured("p", "us", 1, 2, 3)) is Kind.OTHER


def test_reports() -> None:
    """By column and probe; what has no counterpart, or another machine under it, is a note and no difference."""
    worse = with_findings(RUNC, finding("surface.bpf"), measured("cost.call", "ns", 200, 220, 230))
    old = report(HOST_COLUMN, replace(RUNC, runtime="runc 1.1.4"), replace(GVISOR, name="old"), profile="restricted")
    new = report(
        HOST_COLUMN,
        worse,
        replace(GVISOR, findings=(), error="no"),
        machine={"kernel": "Linux 6.19", "processors": "2"},
        questions=QUESTIONS[:-1],
    )
    found = compare(old, new)
    assert [(each.column, each.probe, each.kind) for each in found.differences] == [
        ("runc", "surface.bpf", Kind.WORSE),
        ("runc", "cost.call", Kind.COSTLIER),
    ]
    assert found.made == old.made
    assert found.notes == (
        "profile: restricted before, baseline now",
        "kernel: Linux 6.18 before, Linux 6.19 now",
        "runc: runc 1.1.4 before, runc 1.1.5 now",
        "old: only before",
        "gvisor: only now",
        "asked only before: 1 of cost",
    )


def test_a_runtime_that_stopped_working() -> None:
    """Is a note that says why, not a difference of each of its probes."""
    found = compare(report(GVISOR), report(replace(GVISOR, findings=(), error="no KVM")))
    assert (found.notes, found.differences) == (("gvisor: not evaluated now: no KVM",), ())
    assert compare(report(), report()).notes == ()
