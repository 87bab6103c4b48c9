"""A report as JSON and back."""

from pathlib import Path

import pytest

from nodeagent.isolation.contract import By, Column, Figure, Finding, Question, Report, Risk, Verdict
from nodeagent.isolation.report import document, matrix

REPORT = Report(
    made="2026-11-28T23:00:00+00:00",
    machine={"kernel": "Linux 6.1"},
    profile="baseline",
    quick=False,
    groups={"surface": "Attack surface", "cost": "Cost"},
    questions=(
        Question(id="surface.a", group="surface", title="a", risk=Risk.HIGH, why="w"),
        Question(id="cost.b", group="cost", title="b", risk=Risk.NONE, why="w"),
    ),
    columns=(
        Column(
            name="runc",
            runtime="runc 1.1",
            findings=(
                Finding(probe="surface.a", verdict=Verdict.BLOCKED, by=By.SECCOMP, value="EPERM"),
                Finding(
                    probe="cost.b",
                    verdict=Verdict.MEASURED,
                    figure=Figure(unit="ms", median=2.5, low=2.0, high=3.0, runs=(2.0, 2.5, 3.0)),
                ),
            ),
            facts={"identity": {"uid": 0}},
        ),
        Column(name="kata", error="no KVM"),
    ),
)


def test_there_and_back(tmp_path: Path) -> None:
    """Nothing is lost: findings, figures, raw facts, and columns that have only an error."""
    path = tmp_path / "report.json"
    path.write_text(document.written(REPORT))
    assert document.read(path) == REPORT


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"made": 3}'])
def test_no_report(tmp_path: Path, text: str) -> None:
    """The file is named, and what it is not."""
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(document.NoReport, match=r"report\.json: no report of an evaluation"):
        document.read(path)


def test_cells_and_scores() -> None:
    """In a few words; a column without findings has no score."""
    found = matrix.by_probe(REPORT.columns[0])
    assert [matrix.cell(found.get(name)) for name in ("surface.a", "cost.b", "other")] == [
        "blocked (seccomp)",
        "2.5 ms (2-3)",
        "-",
    ]
    scores = matrix.scores(REPORT)
    assert {group: list(columns) for group, columns in scores.items()} == {"surface": ["runc"], "cost": ["runc"]}
    assert matrix.shown(scores["surface"]["runc"]) == "100"
    assert matrix.shown(scores["cost"]["runc"]) == "-"
