"""What came of the checks: one record each, and what counts. Values, and rules over them."""

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final


class Level(enum.StrEnum):
    """How much a check counts: the specification demands it, recommends it, or it is good to know. In order of weight."""

    MUST = "must"
    SHOULD = "should"
    MAY = "may"

    def counts_at(self, lightest: "Level") -> bool:
        """Whether checks of this level count where `lightest` is the last one that does."""
        order = tuple(Level)
        return order.index(self) <= order.index(lightest)


class Verdict(enum.StrEnum):
    """How a check ended. Only FAILED makes a run fail; the three at the end say that nothing was looked at."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_KEPT = "recommendation not kept"
    KNOWN_FLAW = "known flaw"
    EXCEPTED = "excepted"
    NOT_CLAIMED = "not claimed"
    SKIPPED = "skipped"


LOOKED_AT: Final = frozenset({Verdict.PASSED, Verdict.FAILED, Verdict.NOT_KEPT, Verdict.KNOWN_FLAW})


# why a run did not come to its end: a signal
INTERRUPTED: Final = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One check, or one variant of it.

    `id`: stays over releases; `variant`: what it was tried with, empty where there is one only. `group`: the checks that it is
    among. `spec`: section of the specification. `seconds`: with making and taking down. `reason`: one line, empty for what
    passed. `evidence`: what was sent and what came back; `reproduce`: a shell line. `figures`: what was measured.
    """

    id: str
    title: str
    group: str
    level: Level
    verdict: Verdict
    seconds: float
    variant: str = ""
    spec: str = ""
    promise: str = ""
    reason: str = ""
    evidence: str = ""
    reproduce: str = ""
    figures: Mapping[str, str | float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """ "E4[NETNS]"."""
        return f"{self.id}[{self.variant}]" if self.variant else self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of a suite over `subject`, for people. `level`: the lightest that counts. `began`: RFC 3339.

    `stopped`: why it did not come to its end, else empty.
    """

    suite: str
    subject: str
    level: Level
    began: str
    seconds: float
    records: Sequence[Record]
    stopped: str = ""

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many of each, all verdicts, in their order."""
        found = Counter(record.verdict for record in self.records)
        return {verdict: found[verdict] for verdict in Verdict}

    @property
    def exit_status(self) -> int:
        """1: something that counts failed. 2: nothing was looked at, or the run broke off. 130: by a signal. Else 0."""
        if self.stopped:
            return 130 if self.stopped == INTERRUPTED else 2
        if self.counts[Verdict.FAILED]:
            return 1
        return 0 if any(record.verdict in LOOKED_AT for record in self.records) else 2


def judged(record: Record, lightest: Level) -> Record:
    """The record where checks up to `lightest` count: what failed below that is a recommendation that is not kept."""
    if record.verdict is Verdict.FAILED and not record.level.counts_at(lightest):
        return replace(record, verdict=Verdict.NOT_KEPT)
    return record
