"""What counts, and what a run comes to."""

import pytest
from tester_records import record, run

from nodeagent.testers.record import Level, Record, Verdict, judged

MUST, SHOULD, MAY = Level


@pytest.mark.parametrize(
    ("level", "lightest", "verdict"),
    [
        (MUST, MUST, Verdict.FAILED),
        (SHOULD, MUST, Verdict.NOT_KEPT),
        (MAY, MUST, Verdict.NOT_KEPT),
        (SHOULD, SHOULD, Verdict.FAILED),
        (MAY, SHOULD, Verdict.NOT_KEPT),
        (MAY, MAY, Verdict.FAILED),
    ],
)
def test_what_counts(level: Level, lightest: Level, verdict: Verdict) -> None:
    """A failure below the level that counts is a recommendation that is not kept; every other verdict stays."""
    assert judged(record("D1", Verdict.FAILED, level), lightest).verdict is verdict
    assert judged(record("D1", Verdict.PASSED, level), lightest).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("records", "stopped", "status"),
    [
        ([record("D1")], "", 0),
        ([record("D1"), record("D2", Verdict.FAILED)], "", 1),
        ([record("D1"), record("D2", Verdict.NOT_KEPT), record("D3", Verdict.SKIPPED)], "", 0),
        ([record("D1", Verdict.KNOWN_FLAW)], "", 0),
        ([record("D1", Verdict.NOT_CLAIMED), record("D2", Verdict.SKIPPED), record("D3", Verdict.EXCEPTED)], "", 2),
        ([], "", 2),
        ([record("D1"), record("D2", Verdict.FAILED)], "it ended", 2),
        ([record("D1")], "interrupted", 130),
    ],
)
def test_exit_status(records: list[Record], stopped: str, status: int) -> None:
    """1 for what counts and failed; 2 where nothing was looked at, which is never green; known flaws are told, and no failure."""
    assert run(*records, stopped=stopped).exit_status == status


def test_names() -> None:
    """A variant is told with the check."""
    assert [record("E4").name, record("E4", variant="NETNS").name] == ["E4", "E4[NETNS]"]
