"""TAP version 14: a line a check; what was not looked at is SKIP, what is known or only recommended is TODO."""

import json
from typing import Final

from nodeagent.reports.printable import one_line, printable
from nodeagent.testers.record import Record, Run, Verdict

_TODO: Final = frozenset({Verdict.KNOWN_FLAW, Verdict.NOT_KEPT})


def write(run: Run) -> str:
    lines = ["TAP version 14", f"1..{len(run.records)}"]
    for number, record in enumerate(run.records, 1):
        lines += _lines(number, record)
    if run.stopped:
        lines.append(f"Bail out! {one_line(run.stopped)}")
    return "\n".join(lines) + "\n"


def _lines(number: int, record: Record) -> list[str]:
    good = record.verdict is not Verdict.FAILED and record.verdict not in _TODO
    line = f"{'ok' if good else 'not ok'} {number} - {_escaped(f'{record.name} {record.title}')}"
    if record.verdict in _TODO:
        line += f" # TODO {_escaped(f'{record.verdict}: {record.reason}')}"
    elif record.verdict not in (Verdict.PASSED, Verdict.FAILED):
        line += f" # SKIP {_escaped(f'{record.verdict}: {record.reason}')}"
    if record.verdict in (Verdict.PASSED, Verdict.FAILED) and not (record.reason or record.figures):
        return [line]
    told = {
        "level": str(record.level),
        "spec": record.spec,
        "seconds": record.seconds,
        "message": printable(record.reason),
        **({"evidence": printable(record.evidence), "reproduce": printable(record.reproduce)} if not good else {}),
        **({"figures": dict(record.figures)} if record.figures else {}),
    }
    # JSON is YAML, and says no more than it is told
    return [line, "  ---", *(f"  {key}: {json.dumps(value)}" for key, value in told.items()), "  ..."]


def _escaped(text: str) -> str:
    return one_line(text).replace("\\", "\\\\").replace("#", "\\#")
