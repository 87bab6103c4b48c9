"""Records and runs for tests of reports."""

from typing import Any

from nodeagent.testers.record import Level, Record, Run, Verdict


def record(check: str, verdict: Verdict = Verdict.PASSED, level: Level = Level.MUST, **more: Any) -> Record:
    given = {"title": f"title of {check}", "group": "delete", "seconds": 0.5, **more}
    return Record(id=check, level=level, verdict=verdict, **given)


def run(*records: Record, stopped: str = "") -> Run:
    return Run(
        suite="cni",
        subject="mine",
        level=Level.MUST,
        began="2026-11-28T20:00:00+00:00",
        seconds=12.3,
        records=records,
        stopped=stopped,
    )
