"""What any two columns differ in. Without a script each pair is a part that opens; with it one chooses two."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from nodeagent.isolation.contract import HOST, Column, Finding, Question, Report, Verdict
from nodeagent.isolation.report.comparison import Kind, difference
from nodeagent.isolation.report.html import parts
from nodeagent.isolation.report.matrix import by_probe, number
from nodeagent.reports.page import text

_ORDER = {Kind.WORSE: 0, Kind.BETTER: 0, Kind.COSTLIER: 1, Kind.CHEAPER: 1, Kind.LOST: 2, Kind.OTHER: 2}


def section(report: Report) -> str:
    """The pods' pair with the most differences is open. Empty: there are no two."""
    columns = [column for column in report.columns if column.findings]
    rows = {
        (left, right): list(_rows(report.questions, columns[left], columns[right]))
        for left, right in combinations(range(len(columns)), 2)
    }
    if not rows:
        return ""
    first = max(rows, key=lambda pair: (columns[pair[0]].name != HOST, len(rows[pair])))
    return "".join(
        (
            '<h2 id="differences">Differences between two</h2>\n',
            _choice(columns, first),
            *(_pair(columns, pair, found, is_open=pair == first) for pair, found in rows.items()),
        )
    )


def _choice(columns: Sequence[Column], first: tuple[int, int]) -> str:
    """Shown by the script, which it is for."""
    lists = [
        f'<select id="{name}" aria-label="{name} of the two">'
        + "".join(
            f'<option value="{at}"{" selected" if at == chosen else ""}>{text(column.name)}</option>'
            for at, column in enumerate(columns)
        )
        + "</select>"
        for name, chosen in zip(("left", "right"), first, strict=True)
    ]
    return f'<p id="choice" hidden>Compare {lists[0]} with {lists[1]} <span id="same" hidden>the same one twice</span></p>\n'


def _pair(columns: Sequence[Column], pair: tuple[int, int], rows: Sequence[str], *, is_open: bool) -> str:
    left, right = (columns[at].name for at in pair)
    told = parts.table(("Probe", "Risk", left, right, "Difference"), rows) if rows else "<p>None.</p>\n"
    return (
        f'<details class="pair" data-pair="{pair[0]} {pair[1]}"{" open" if is_open else ""}>'
        f"<summary>{text(left)} and {text(right)}: {len(rows)} differences</summary>\n{told}</details>\n"
    )


def _rows(questions: Sequence[Question], left: Column, right: Column) -> Iterator[str]:
    """What is exposed first, then costs, then what is blocked by something else; of each the greatest risk first."""
    findings = by_probe(left), by_probe(right)
    found: list[tuple[Kind, Question, Finding, Finding]] = []
    for question in questions:
        here, there = (each.get(question.id) for each in findings)
        if here is not None and there is not None and (kind := difference(here, there)) is not None:
            found.append((kind, question, here, there))
    for kind, question, here, there in sorted(found, key=lambda each: (_ORDER[each[0]], -each[1].risk)):
        yield parts.row(
            (
                parts.link(question.id, question.title),
                parts.risk(question.risk),
                parts.cell(here),
                parts.cell(there),
                text(_told(kind, here, there, left.name, right.name)),
            )
        )


def _told(kind: Kind, here: Finding, there: Finding, left: str, right: str) -> str:
    match kind:
        case Kind.WORSE:
            return f"{left} gives less away"
        case Kind.BETTER:
            return f"{right} gives less away"
        case Kind.COSTLIER | Kind.CHEAPER:
            return f"{left if kind is Kind.COSTLIER else right} costs less{_times(here, there)}"
        case Kind.LOST | Kind.OTHER:
            return (
                "blocked by something else" if here.verdict is there.verdict is Verdict.BLOCKED else "of another kind"
            )


def _times(here: Finding, there: Finding) -> str:
    if here.figure is None or there.figure is None or not here.figure.median or not there.figure.median:
        return ""
    times = there.figure.median / here.figure.median
    return f" ({number(max(times, 1 / times))} times)"
