"""One page, whole in itself: no script, nothing loaded, everything that plugins said escaped; times as bars (inline SVG)."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from nodeagent.testers.record import Record, Run, Verdict
from nodeagent.testers.report.printable import printable
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
:root { color-scheme: light dark; --good: #2a7d46; --bad: #c0281f; --warn: #b27300; --none: #77808a; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --good: #56b876; --bad: #ff7066; --warn: #e0a63c; --none: #98a1ab; } }
body, summary, p, h1 { overflow-wrap: anywhere; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
th, td.number { overflow-wrap: normal; } td:first-child { min-width: 3.5rem; }
@media (max-width: 40rem) { #checks :is(th, td):is(:nth-child(3), :nth-child(4)) { display: none; } }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; padding: .6rem; border-radius: 4px; }
.good { color: var(--good); fill: var(--good); } .bad { color: var(--bad); fill: var(--bad); font-weight: 600; }
.warn { color: var(--warn); fill: var(--warn); } .none { color: var(--none); fill: var(--none); }
svg { max-width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
"""


def write(run: Run) -> str:
    slowest = sorted(run.records, key=lambda record: record.seconds, reverse=True)
    return "".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(run.suite)}: {_text(run.subject)}</title><style>{_STYLE}</style></head><body>\n",
            f"<h1>{_text(run.suite.upper())}: {_text(run.subject)}</h1>\n",
            f"<p>{_text(verdict(run))}</p>\n",
            f"<p>Began {_text(run.began)}; what counts: up to <b>{run.level}</b>; exit status {run.exit_status}.</p>\n",
            *_details(run.records),
            "<h2>Checks</h2>\n",
            _table(run.records),
            *_figures(run.records),
            "<h2>Seconds, the longest first</h2>\n",
            _bars(slowest),
            "</body></html>\n",
        )
    )


def _text(text: str) -> str:
    return escape(printable(str(text)))


def _details(records: Sequence[Record]) -> Iterator[str]:
    told = [record for record in records if record.verdict in (Verdict.FAILED, Verdict.NOT_KEPT)]
    if told:
        yield "<h2>What was found</h2>\n"
    for record in told:
        yield (
            f"<details{' open' if record.verdict is Verdict.FAILED else ''}>"
            f'<summary><span class="{_KINDS[record.verdict]}">{record.verdict}</span> '
            f"<b>{_text(record.name)}</b> {_text(record.title)} ({record.level})</summary>"
            f"<p>{_text(record.reason)}</p><pre>{_text(record.evidence)}</pre>"
            f"<p>Reproduce:</p><pre>{_text(record.reproduce)}</pre></details>\n"
        )


def _table(records: Sequence[Record]) -> str:
    rows = "".join(
        f"<tr><td>{_text(record.name)}</td><td>{_text(record.title)}"
        f"{f'<br><small>{_text(record.reason)}</small>' if record.reason else ''}</td><td>{_text(record.group)}</td>"
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
            yield f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>\n"
        yield "</tbody></table>\n"


def _bars(records: Sequence[Record]) -> str:
    longest = max((record.seconds for record in records), default=0) or 1
    height = _BAR * len(records) + 4
    room = _WIDTH - _LABELS - 60
    bars = "".join(
        f'<text x="{_LABELS - 6}" y="{place * _BAR + 11}" text-anchor="end">{_text(record.name)}</text>'
        f'<rect class="{_KINDS[record.verdict]}" x="{_LABELS}" y="{place * _BAR + 2}" height="{_BAR - 3}" '
        f'width="{max(1.0, record.seconds / longest * room):.1f}"><title>{_text(record.title)}</title></rect>'
        f'<text x="{_LABELS + record.seconds / longest * room + 6:.1f}" y="{place * _BAR + 11}">{record.seconds:.2f}</text>\n'
        for place, record in enumerate(records)
    )
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="seconds of each check">\n{bars}</svg>\n'
