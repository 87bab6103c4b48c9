"""The table: whole at 80 columns, and nothing in it that a terminal would obey."""

import pytest
from isolation_reports import HOST_COLUMN, RUNC, finding, hostile, report, with_findings

from nodeagent.isolation.report import table
from nodeagent.isolation.report.comparison import compare

WRITTEN = """\
Linux 6.18, 2 processors; profile baseline, which meets baseline of the Pod
Security Standards

host: the bare machine
runc: runc 1.1.5
gvisor: runsc
kata: kata

SCORE (100: nothing open)                host      runc      gvisor    kata
Attack surface                           0         75        94 (1     -
                                                             failed)
Cost of isolation                        -         -         -         -
"""
SURFACE = """\
ATTACK SURFACE                         R host      runc      gvisor    kata
BPF                                    H OPEN      - seccomp - runtime
raw sockets                            M OPEN      OPEN      ~ runtime
names                                              three     failed

COST OF ISOLATION                      R host      runc      gvisor    kata
a system call                                      100 ns    9500 ns
                                                   90-110    9000-11k
requests                                           1000 1/s  980 1/s
                                                   900-1100  850-1200

WHAT WOULD CHANGE IT                         PROBES
securityContext.capabilities.drop: [NET_RAW] surface.raw

kata was not evaluated: this machine has no /dev/kvm
"""


def test_the_whole_of_it() -> None:
    """Who was looked at, scores, each probe of each group, what closes what is open, who did not start."""
    text = table.write(report())
    assert text.startswith(WRITTEN)
    assert text.endswith(SURFACE)


@pytest.mark.parametrize("width", [80, 200])
def test_no_line_is_longer(width: int) -> None:
    """Whatever pods say; and there is no control character in it."""
    said = hostile()
    text = table.write(said, comparison=compare(report(), said), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert text.replace("\n", "").isprintable()


def test_what_changed() -> None:
    """Stands before the scores, each with what it was and is."""
    worse = report(HOST_COLUMN, with_findings(RUNC, finding("surface.bpf")))
    text = table.write(worse, comparison=compare(report(HOST_COLUMN, RUNC, profile="restricted"), worse))
    lines = text[text.index("CHANGED SINCE") : text.index("SCORE")].splitlines()
    assert lines == [
        "CHANGED SINCE 2026-11-28T20:00:00+00:00",
        "profile: restricted before, baseline now",
        "      RUNTIME PROBE       BEFORE            NOW",
        "worse runc    surface.bpf blocked (seccomp) open",
        "",
    ]
    assert "Nothing." in table.changes(compare(worse, worse))
