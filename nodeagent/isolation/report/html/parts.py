"""Small parts of the page that every section has."""

from collections.abc import Iterable
from typing import Final

from nodeagent.isolation.contract import Finding, Risk, Verdict
from nodeagent.isolation.report import matrix
from nodeagent.reports.page import text

_KINDS: Final = {Verdict.OPEN: "bad", Verdict.LIMITED: "warn", Verdict.BLOCKED: "good", Verdict.FAILED: "warn"}


def row(cells: Iterable[str], kind: str = "td") -> str:
    """`cells`: HTML."""
    return f"<tr>{''.join(f'<{kind}>{cell}</{kind}>' for cell in cells)}</tr>\n"


def table(heads: Iterable[str], rows: Iterable[str], name: str = "") -> str:
    """`heads`: texts; `rows`: of `row`. It scrolls for itself where it is too wide."""
    head = row((text(each) for each in heads), "th")
    given = f' id="{text(name)}"' if name else ""
    return f'<div class="wide"><table{given}><thead>{head}</thead><tbody>\n{"".join(rows)}</tbody></table></div>\n'


def cell(finding: Finding | None) -> str:
    """A finding in a few words, coloured by its verdict."""
    if finding is None:
        return '<span class="none">-</span>'
    return f'<span class="{_KINDS.get(finding.verdict, "none")}">{text(matrix.cell(finding))}</span>'


def risk(value: Risk) -> str:
    return "" if value is Risk.NONE else value.name.lower()


def link(probe: str, title: str) -> str:
    """To a probe's own part."""
    return f'<a href="#{text(probe)}">{text(title)}</a>'
