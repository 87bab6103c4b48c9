"""A report by rows: what each shows of it is in here once, for the table and whatever else there is."""

from collections.abc import Mapping

from nodeagent.isolation.contract import Column, Finding, Report, Verdict
from nodeagent.isolation.score import Score, score


def scores(report: Report) -> dict[str, dict[str, Score]]:
    """Group -> column -> score, of the columns that have findings."""
    questions = {question.id: question for question in report.questions}
    found: dict[str, dict[str, Score]] = {}
    for group in report.groups:
        for column in report.columns:
            own = [finding for finding in column.findings if questions[finding.probe].group == group]
            if own:
                found.setdefault(group, {})[column.name] = score(own, questions)
    return found


def by_probe(column: Column) -> Mapping[str, Finding]:
    """Probe -> finding."""
    return {finding.probe: finding for finding in column.findings}


def cell(finding: Finding | None) -> str:
    """A finding in a few words: what was measured, or the verdict with who is behind it."""
    if finding is None:
        return "-"
    if finding.figure is not None:
        figure = finding.figure
        return f"{figure.median:g} {figure.unit} ({figure.low:g}-{figure.high:g})"
    if finding.verdict is Verdict.MEASURED:
        return finding.value
    return f"{finding.verdict} ({finding.by})" if finding.by else str(finding.verdict)


def shown(value: Score) -> str:
    """84, or 84 (2 failed)."""
    number = "-" if value.value is None else str(value.value)
    return f"{number} ({value.failed} failed)" if value.failed else number
