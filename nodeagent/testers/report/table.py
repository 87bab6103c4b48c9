"""A short table for people: what failed with how to see it again, then counts by group and by level."""

from collections.abc import Sequence
from typing import Final

from nodeagent.reports.printable import one_line, printable
from nodeagent.testers.record import Level, Record, Run, Verdict

COLUMNS: Final = (
    (Verdict.PASSED, "PASSED"),
    (Verdict.FAILED, "FAILED"),
    (Verdict.NOT_KEPT, "NOT KEPT"),
    (Verdict.KNOWN_FLAW, "KNOWN"),
    (Verdict.EXCEPTED, "EXCEPTED"),
    (Verdict.NOT_CLAIMED, "NOT CLAIMED"),
    (Verdict.SKIPPED, "SKIPPED"),
)
_MOST_EVIDENCE_LINES: Final = 40


def write(run: Run) -> str:
    parts = [*_failures(run), *_short(run), *_counts(run), "", verdict(run)]
    return "\n".join(parts) + "\n"


def verdict(run: Run) -> str:
    """One line: "cni: mine: 71 checks in 62 s: 65 passed, 6 not claimed"."""
    counts = ", ".join(f"{count} {name}" for name, count in run.counts.items() if count) or "nothing was run"
    line = f"{run.suite}: {one_line(run.subject)}: {len(run.records)} checks in {run.seconds:.0f} s: {counts}"
    return f"{line} (broken off: {one_line(run.stopped)})" if run.stopped else line


def _failures(run: Run) -> list[str]:
    lines: list[str] = []
    for record in run.records:
        if record.verdict is Verdict.FAILED:
            lines += [f"{record.verdict.upper()} {record.name}: {record.title} ({record.level})", *_detail(record), ""]
    return lines


def _detail(record: Record) -> list[str]:
    evidence = printable(record.evidence).splitlines()
    cut = [f"… ({len(evidence) - _MOST_EVIDENCE_LINES} lines more in the other reports)"]
    shown = evidence if len(evidence) <= _MOST_EVIDENCE_LINES else evidence[:_MOST_EVIDENCE_LINES] + cut
    lines = [one_line(record.reason), *shown, "", "reproduce:", *printable(record.reproduce).splitlines()]
    return [f"  {line}".rstrip() for line in lines]


def _short(run: Run) -> list[str]:
    """What is no failure, and is to be known."""
    told = [
        f"{record.name}: {record.verdict}: {one_line(record.reason)}"
        for record in run.records
        if record.verdict in (Verdict.NOT_KEPT, Verdict.KNOWN_FLAW, Verdict.EXCEPTED, Verdict.SKIPPED)
    ]
    measured = [
        f"{record.name}: measured: {one_line(', '.join(f'{name} {value}' for name, value in record.figures.items()))}"
        for record in run.records
        if record.figures
    ]
    return [*told, *measured, ""] if told or measured else []


def _counts(run: Run) -> list[str]:
    groups = sorted({record.group for record in run.records})
    by_group = [_row(group, [record for record in run.records if record.group == group]) for group in groups]
    by_level = [
        _row(level, own) for level in Level if (own := [record for record in run.records if record.level is level])
    ]
    return _columns([["", *(title for _, title in COLUMNS), "SECONDS"], *by_group, [], *by_level])


def _row(name: str, records: Sequence[Record]) -> list[str]:
    counts = [sum(record.verdict is each for record in records) for each, _ in COLUMNS]
    seconds = sum(record.seconds for record in records)
    return [name, *(str(count) if count else "-" for count in counts), f"{seconds:.1f}"]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows if row) for place in range(len(rows[0]))]
    return ["".join(f"{cell:<{width + 2}}" for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
