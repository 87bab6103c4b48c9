"""The score of a group, by its rule."""

import pytest

from nodeagent.isolation.contract import Finding, Question, Risk, Verdict
from nodeagent.isolation.score import Score, score

QUESTIONS = {
    name: Question(id=name, group="g", title="", risk=risk, why="")
    for name, risk in (("high", Risk.HIGH), ("low", Risk.LOW), ("none", Risk.NONE))
}


def found(probe: str, verdict: Verdict, exposure: float | None = None) -> Finding:
    return Finding(probe=probe, verdict=verdict, exposure=exposure)


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([found("high", Verdict.BLOCKED), found("low", Verdict.BLOCKED)], Score(value=100)),
        ([found("high", Verdict.OPEN), found("low", Verdict.BLOCKED)], Score(value=10)),
        ([found("high", Verdict.BLOCKED), found("low", Verdict.OPEN)], Score(value=90)),
        ([found("high", Verdict.LIMITED), found("low", Verdict.BLOCKED)], Score(value=55)),
        ([found("high", Verdict.LIMITED, 0.25)], Score(value=75)),
        ([found("high", Verdict.MEASURED, 0.5)], Score(value=50)),
        ([found("high", Verdict.MEASURED), found("low", Verdict.OPEN)], Score(value=0)),
        ([found("high", Verdict.NOT_APPLICABLE), found("low", Verdict.OPEN)], Score(value=0)),
        ([found("high", Verdict.FAILED), found("low", Verdict.BLOCKED)], Score(value=100, failed=1)),
        ([found("none", Verdict.OPEN)], Score(value=None)),
        ([], Score(value=None)),
    ],
)
def test_scores(findings: list[Finding], expected: Score) -> None:
    """Risk that is exposed, over all risk that was asked for and answered."""
    assert score(findings, QUESTIONS) == expected
