"""How far a run is, on standard error: a line for each check as it ends, coloured where somebody looks."""

import os
import sys
from typing import Final, TextIO

from nodeagent.reports.printable import one_line
from nodeagent.testers.record import Record, Verdict

_WORDS: Final = {
    Verdict.PASSED: ("ok", "32"),
    Verdict.FAILED: ("FAILED", "1;31"),
    Verdict.NOT_KEPT: ("not kept", "33"),
    Verdict.KNOWN_FLAW: ("known", "33"),
    Verdict.EXCEPTED: ("excepted", "2"),
    Verdict.NOT_CLAIMED: ("not claimed", "2"),
    Verdict.SKIPPED: ("skipped", "2"),
}


_MOST_REASON: Final = 160


class Progress:
    """`checks`: how many are to come; one may have several variants, so that what is counted is checks begun with."""

    def __init__(self, checks: int, stream: TextIO | None = None) -> None:
        self._checks = checks
        self._stream = stream or sys.stderr
        self._coloured = self._stream.isatty() and "NO_COLOR" not in os.environ
        self._seen: set[str] = set()

    def took(self, record: Record) -> None:
        self._seen.add(record.id)
        print(self._coloured_line(record), file=self._stream, flush=True)

    def _coloured_line(self, record: Record) -> str:
        word, colour = _WORDS[record.verdict]
        shown = f"\x1b[{colour}m{word:<11}\x1b[0m" if self._coloured else f"{word:<11}"
        return line(record, shown, len(self._seen), self._checks)


def line(record: Record, word: str, place: int, checks: int) -> str:
    """`[ 12/80] ok          D5 the namespace is gone (0.42 s)`; what failed, with its reason."""
    reason = f": {one_line(record.reason)[:_MOST_REASON]}" if record.verdict is Verdict.FAILED else ""
    number = f"{place:>{len(str(checks))}}"
    return f"[{number}/{checks}] {word} {record.name} {one_line(record.title)} ({record.seconds:.2f} s){reason}"
