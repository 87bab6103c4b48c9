"""A report for people at a terminal: every probe in a line or two, at 80 columns as at 200."""

import io
import textwrap
from collections.abc import Sequence
from typing import Final

from nodeagent.isolation.contract import By, Finding, Report, Risk, Verdict
from nodeagent.isolation.report import matrix
from nodeagent.isolation.report.comparison import Comparison
from nodeagent.isolation.score import Score
from nodeagent.reports.printable import one_line

_SHORT: Final = {
    By.CAPABILITY: "cap",
    By.NAMESPACE: "ns",
    By.PERMISSIONS: "perms",
    By.NO_NEW_PRIVS: "nnp",
    By.AGENT: "agent",
}
_MARKS: Final = {Verdict.LIMITED: "~", Verdict.BLOCKED: "-"}
_WORDS: Final = {Verdict.OPEN: "OPEN", Verdict.NOT_APPLICABLE: "n/a", Verdict.FAILED: "failed"}
_CELL, _LONGEST_NAME, _TITLE = 9, 11, 20
_LEGEND: Final = (
    "OPEN: a pod can do it. -: blocked, ~: limited, by what stands there (ns: a namespace, cap: a missing capability, nnp: "
    "no_new_privs, perms: permissions of files; runtime: the runtime's own kernel). n/a: nothing of the kind here. R: risk, "
    "high, medium or low. The evidence of each, and its id: --output html=FILE, --output json=FILE."
)


def write(report: Report, *, comparison: Comparison | None = None, width: int = 80) -> str:
    """Scores, every probe by its group, what would close what is open; before them what changed, if that is asked for."""
    parts = [
        _line(_about(report), width),
        "".join(_line(f"{column.name}: {column.runtime}", width) for column in report.columns),
        changes(comparison, width) if comparison is not None else "",
        _scores(report, width),
        _line(_LEGEND, width),
        *(_group(report, group, title, width) for group, title in report.groups.items()),
        _what_closes(report, width),
        *(
            _line(f"{column.name} was not evaluated: {column.error}", width)
            for column in report.columns
            if column.error
        ),
    ]
    return "\n".join(part for part in parts if part)


def _about(report: Report) -> str:
    level = f", which meets {report.level} of the Pod Security Standards" if report.level else ""
    machine = f"{report.machine.get('kernel')}, {report.machine.get('processors')} processors"
    return f"{machine}; profile {report.profile}{level}"


def changes(comparison: Comparison, width: int = 80) -> str:
    """What is not as it was."""
    head = _line(f"CHANGED SINCE {comparison.made}", width)
    notes = "".join(_line(note, width) for note in comparison.notes)
    if not comparison.differences:
        return f"{head}{notes}Nothing.\n"
    rows = [
        (each.kind, each.column, each.probe, matrix.cell(each.before), matrix.cell(each.after))
        for each in comparison.differences
    ]
    return head + notes + _table(("", "RUNTIME", "PROBE", "BEFORE", "NOW"), rows, width)


def _scores(report: Report, width: int) -> str:
    scores = matrix.scores(report)
    rows = [
        (title, *(_score(scores.get(group, {}).get(column.name)) for column in report.columns))
        for group, title in report.groups.items()
    ]
    return _grid("SCORE (100: nothing open)", report, rows, width, with_risk=False)


def _score(score: Score | None) -> str:
    return "-" if score is None else matrix.shown(score)


def _group(report: Report, group: str, title: str, width: int) -> str:
    findings = [matrix.by_probe(column) for column in report.columns]
    rows = [
        (question.title, _risk(question.risk), *(_cell(found.get(question.id)) for found in findings))
        for question in report.questions
        if question.group == group
    ]
    return _grid(title.upper(), report, rows, width, with_risk=True)


def _risk(risk: Risk) -> str:
    return "" if risk is Risk.NONE else risk.name[0]


def _cell(finding: Finding | None) -> str:
    if finding is None:
        return ""
    if finding.figure is not None:
        return f"{matrix.amount(finding.figure)}\n{matrix.spread(finding.figure)}"
    if finding.verdict is Verdict.MEASURED:
        return finding.value
    by = _SHORT.get(finding.by, str(finding.by))
    return _WORDS.get(finding.verdict) or f"{_MARKS[finding.verdict]} {by}".strip()


def _what_closes(report: Report, width: int) -> str:
    rows = [(change, ", ".join(probes)) for change, probes in matrix.changes(report).items()]
    return _table(("WHAT WOULD CHANGE IT", "PROBES"), rows, width) if rows else ""


def _grid(head: str, report: Report, rows: Sequence[Sequence[str]], width: int, *, with_risk: bool) -> str:
    """A row of cells for each question, with the columns of the report; titles have what is left of the width."""
    names = [one_line(column.name) for column in report.columns]
    widths = [min(max(_CELL, len(name)), _LONGEST_NAME) for name in names]
    title = max(_TITLE, width - sum(each + 1 for each in widths) - (2 if with_risk else 0))
    heads = (head, *(("R",) if with_risk else ()), *names)
    return _table(heads, rows, width, widths=(title, *((1,) if with_risk else ()), *widths))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, widths: Sequence[int] = ()) -> str:
    """`widths`: at most; empty: as the contents want. Words wrap, what is longer than a line is folded."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for at, head in enumerate(heads):
        table.add_column(Text(one_line(head)), overflow="fold", width=widths[at] if widths else None)
    for row in rows:
        # Text, not str: what a pod says must not be read as markup
        table.add_row(*(Text("\n".join(map(one_line, cell.split("\n")))) for cell in row))
    out = io.StringIO()
    total = max(width, sum(widths) + len(widths))
    Console(file=out, width=total, color_system=None, highlight=False).print(table)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def _line(text: str, width: int) -> str:
    """In lines of that width."""
    return "".join(f"{line}\n" for line in textwrap.wrap(one_line(text), width, break_on_hyphens=False) or [""])
