"""`--fail-on`: its words, and what each of them finds."""

import pytest
from isolation_reports import GVISOR, HOST_COLUMN, QUESTIONS, RUNC, finding, measured, report, with_findings

from nodeagent.isolation.contract import By, Verdict
from nodeagent.isolation.report import gate
from nodeagent.isolation.report.comparison import compare

OLD = report(HOST_COLUMN, RUNC, GVISOR)
NEW = report(
    with_findings(HOST_COLUMN, finding("surface.raw", Verdict.BLOCKED, By.KERNEL)),
    with_findings(RUNC, finding("surface.bpf", value="map made"), measured("cost.rate", "1/s", 10, 20, 30)),
    with_findings(GVISOR, finding("surface.raw", Verdict.FAILED, evidence="no answer")),
)

LOST = "lost: gvisor: surface.raw: limited (runtime), now failed"


@pytest.mark.parametrize(
    ("texts", "lines"),
    [
        ([], []),
        (["open"], ["open: runc: surface.bpf: map made", "open: runc: surface.raw: ok"]),
        (["open:high"], ["open:high: runc: surface.bpf: map made"]),
        (["open:medium"], ["open:medium: runc: surface.bpf: map made", "open:medium: runc: surface.raw: ok"]),
        (["open:surface.raw"], ["open:surface.raw: runc: surface.raw: ok"]),
        (["open:cost"], []),
        (["failed:high"], []),
        (["failed:medium"], ["failed:medium: gvisor: surface.raw: ok"]),
        (["worse"], ["worse: runc: surface.bpf: blocked (seccomp), now open"]),
        (["worse:cost"], []),
        (["costlier"], ["costlier: runc: cost.rate: 1000 1/s (900-1100), now 20 1/s (10-30)"]),
        (["lost"], [LOST]),
        (["changed:surface"], [
            "changed:surface: runc: surface.bpf: blocked (seccomp), now open",
            "changed:surface: gvisor: surface.raw: limited (runtime), now failed",
        ]),
        (["score:surface<1"], ["score:surface<1: runc: 0"]),
        (["score:surface<0"], []),
        (["score:surface<1, lost", "open:cost"], ["score:surface<1: runc: 0", LOST]),
    ],
)  # fmt: skip
def test_what_fails(texts: list[str], lines: list[str]) -> None:
    """The runtimes' columns, never the host's, whose bpf is open and whose raw sockets changed."""
    terms = gate.parse(texts, QUESTIONS, compares=True)
    assert gate.broken(terms, NEW, compare(OLD, NEW)) == lines


def test_a_group_without_an_answer_is_below_every_score() -> None:
    """A gate does not open because nothing was found out."""
    silent = report(with_findings(GVISOR, *(finding(each.probe, Verdict.FAILED) for each in GVISOR.findings)))
    terms = gate.parse(["score:surface<1"], QUESTIONS, compares=False)
    assert gate.broken(terms, silent, None) == ["score:surface<1: gvisor: nothing was answered"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wide", "'wide' is none of open, failed, worse, costlier, lost, changed, score"),
        ("open:", "'open:' does not say where"),
        ("open:cellar", "'cellar' is none of low, medium, high, surface, cost"),
        ("open:surface.x", "'surface.x' is none of surface.bpf, surface.raw, surface.names"),
        ("score", "'score' is no score:GROUP<N, with N from 0 to 100"),
        ("score:surface<101", "is no score:GROUP<N"),
        ("score:surface>80", "is no score:GROUP<N"),
        ("score:cellar<80", "'cellar' is none of surface, cost"),
        ("worse:high", "'worse:high' is about what changed: it needs --compare FILE"),
    ],
)
def test_what_is_no_term(text: str, told: str) -> None:
    """Is told with the valid words, before anything is measured."""
    with pytest.raises(ValueError) as caught:
        gate.parse([text], QUESTIONS, compares=False)
    assert told in str(caught.value)


def test_terms_reach_no_terminal_raw() -> None:
    """What a pod said goes to the terminal of who runs this."""
    said = report(with_findings(RUNC, finding("surface.raw", value="\x1b[2J\nfine")))
    [line] = gate.broken(gate.parse(["open"], QUESTIONS, compares=False), said, None)
    assert line == "open: runc: surface.raw: \ufffd[2J fine"
