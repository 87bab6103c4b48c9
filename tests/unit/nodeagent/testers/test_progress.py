"""A line for each check as it ends."""

import io

from tester_records import record

from nodeagent.testers.progress import Progress
from nodeagent.testers.record import Verdict


def test_lines() -> None:
    """Plain where nobody looks: place, outcome, id, title, time; the reason of a failure on the same line, made printable."""
    stream = io.StringIO()
    progress = Progress(12, stream)
    progress.took(record("D1"))
    progress.took(record("E4", variant="NETNS"))
    progress.took(record("E4", Verdict.FAILED, variant="IFNAME", reason="code 7\n\x1b[2Jexpected 4"))
    assert stream.getvalue().splitlines() == [
        "[ 1/12] ok          D1 title of D1 (0.50 s)",
        "[ 2/12] ok          E4[NETNS] title of E4 (0.50 s)",
        "[ 2/12] FAILED      E4[IFNAME] title of E4 (0.50 s): code 7 �[2Jexpected 4",
    ]
