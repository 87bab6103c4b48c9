"""A report by rows: what each form shows of it is in here once."""

from collections.abc import Mapping

from nodeagent.isolation.contract import Column, Figure, Finding, Report, Verdict
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


def changes(report: Report) -> dict[str, list[str]]:
    """What would change a pod's findings that are open or limited (a spec's line, a runtime's flag) -> their probes."""
    found: dict[str, list[str]] = {}
    for column in report.columns:
        for finding in column.findings:
            if finding.change and finding.verdict in (Verdict.OPEN, Verdict.LIMITED):
                known = found.setdefault(finding.change, [])
                if finding.probe not in known:
                    known.append(finding.probe)
    return found


def cell(finding: Finding | None) -> str:
    """A finding in a few words: what was measured, or the verdict with who is behind it."""
    if finding is None:
        return "-"
    if finding.figure is not None:
        return f"{amount(finding.figure)} ({spread(finding.figure)})"
    if finding.verdict is Verdict.MEASURED:
        return finding.value
    return f"{finding.verdict} ({finding.by})" if finding.by else str(finding.verdict)


def amount(figure: Figure) -> str:
    """12.3 µs."""
    return f"{number(figure.median)} {figure.unit}".strip()


def spread(figure: Figure) -> str:
    """12.1-12.9, the quartiles."""
    return f"{number(figure.low)}-{number(figure.high)}"


def ratio(figure: Figure) -> str:
    """2.1 times the bare host, or nothing."""
    return f"{number(figure.median / figure.host)} × host" if figure.host else ""


def number(value: float) -> str:
    """Three digits that count, short: 0.123, 123, 1230, 12.3k, 1.23M."""
    for least, unit, letter in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def shown(value: Score) -> str:
    """84, or 84 (2 failed)."""
    text = "-" if value.value is None else str(value.value)
    return f"{text} ({value.failed} failed)" if value.failed else text
