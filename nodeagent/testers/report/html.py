"""One page, whole in itself: no script, nothing loaded, everything that plugins said escaped; times as bars (inline SVG)."""

from collections.abc import Iterator, Sequence
from typing import Final

from nodeagent.reports.page import page, text
from nodeagent.testers.record import Record, Run, Verdict
from nodeagent.testers.report.table import verdict

_KINDS: Final = {
    Verdict.PASSED: "good",
    Verdict.FAILED: "bad",
    Verdict.NOT_KEPT: "warn",
    Verdict.KNOWN_FLAW: "warn",
    Verdict.EXCEPTED: "none",
    Verdict.NOT_CLAIMED: "none",
    Verdict.SKIPPED: "none",
}
_BAR, _LABELS, _WIDTH = 14, 170, 900
_STYLE: Final = """
@media (max-width: 40rem) { #checks :is(th, td):is(:nth-child(3), :nth-child(4)) { display: none; } }
"""


def write(run: Run) -> str:
    slowest = sorted(run.records, key=lambda record: record.seconds, reverse=True)
    body = "".join(
        (
            f"<h1>{text(run.suite.upper())}: {text(run.subject)}</h1>\n",
            f"<p>{text(verdict(run))}</p>\n",
            f"<p>Began {text(run.began)}; what counts: up to <b>{run.level}</b>; exit status {run.exit_status}.</p>\n",
            *_details(run.records),
            "<h2>Checks</h2>\n",
            _table(run.records),
            *_figures(run.records),
            "<h2>Seconds, the longest first</h2>\n",
            _bars(slowest),
        )
    )
    return page(f"{run.suite}: {run.subject}", body, style=_STYLE)


def _details(records: Sequence[Record]) -> Iterator[str]:
    told = [record for record in records if record.verdict in (Verdict.FAILED, Verdict.NOT_KEPT)]
    if told:
        yield "<h2>What was found</h2>\n"
    for record in told:
        yield (
            f'<details><summary><span class="{_KINDS[record.verdict]}">{record.verdict}</span> '
            f"<b>{text(record.name)}</b> {text(record.title)} ({record.level})"
            f"<br>{text(record.reason)}</summary><pre>{text(record.evidence)}</pre>"
            f"<p>Reproduce:</p><pre>{text(record.reproduce)}</pre></details>\n"
        )


def _table(records: Sequence[Record]) -> str:
    rows = "".join(
        f"<tr><td>{text(record.name)}</td><td>{text(record.title)}"
        f"{f'<br><small>{text(record.reason)}</small>' if record.reason else ''}</td><td>{text(record.group)}</td>"
        f'<td>{record.level}</td><td class="{_KINDS[record.verdict]}">{record.verdict}</td>'
        f'<td class="number">{record.seconds:.2f}</td></tr>\n'
        for record in records
    )
    heads = "".join(f"<th>{title}</th>" for title in ("Id", "Check", "Group", "Level", "Outcome", "Seconds"))
    return f'<table id="checks"><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table>\n'


def _figures(records: Sequence[Record]) -> Iterator[str]:
    measured = [(record, name, value) for record in records for name, value in record.figures.items()]
    if measured:
        yield '<h2>Measured</h2>\n<table id="figures"><tbody>\n'
        for record, name, value in measured:
            cells = (record.name, name, f"{value:g}" if isinstance(value, float) else str(value))
            yield f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in cells)}</tr>\n"
        yield "</tbody></table>\n"


def _bars(records: Sequence[Record]) -> str:
    longest = max((record.seconds for record in records), default=0) or 1
    height = _BAR * len(records) + 4
    room = _WIDTH - _LABELS - 60
    bars = "".join(
        f'<text x="{_LABELS - 6}" y="{place * _BAR + 11}" text-anchor="end">{text(record.name)}</text>'
        f'<rect class="{_KINDS[record.verdict]}" x="{_LABELS}" y="{place * _BAR + 2}" height="{_BAR - 3}" '
        f'width="{max(1.0, record.seconds / longest * room):.1f}"><title>{text(record.title)}</title></rect>'
        f'<text x="{_LABELS + record.seconds / longest * room + 6:.1f}" y="{place * _BAR + 11}">{record.seconds:.2f}</text>\n'
        for place, record in enumerate(records)
    )
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="seconds of each check">\n{bars}</svg>\n'
