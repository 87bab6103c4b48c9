"""What every form of a report shows, in few words."""

import pytest
from isolation_reports import BROKEN, GVISOR, HOST_COLUMN, RUNC, report

from nodeagent.isolation.contract import Figure
from nodeagent.isolation.report import matrix


def test_cells() -> None:
    """A verdict with who is behind it, what was measured, a figure with its spread; nothing for what was not asked."""
    found = matrix.by_probe(RUNC)
    assert {probe: matrix.cell(each) for probe, each in found.items()} == {
        "surface.bpf": "blocked (seccomp)",
        "surface.raw": "open",
        "surface.names": "three",
        "cost.call": "100 ns (90-110)",
        "cost.rate": "1000 1/s (900-1100)",
    }
    assert matrix.cell(found.get("other")) == "-"


def test_scores() -> None:
    """A column without findings has none; one that did not find out everything says so."""
    scores = matrix.scores(report(HOST_COLUMN, RUNC, GVISOR, BROKEN))
    assert {
        group: {name: matrix.shown(score) for name, score in columns.items()} for group, columns in scores.items()
    } == {
        "surface": {"host": "0", "runc": "75", "gvisor": "94 (1 failed)"},
        "cost": {"runc": "-", "gvisor": "-"},
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.000123, "0.000123"),
        (1.2345, "1.23"),
        (999.4, "999"),
        (1234.5, "1234"),
        (9999, "9999"),
        (12345, "12.3k"),
        (1234567, "1.23M"),
        (-12345, "-12.3k"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    """Short, so that a column of nine characters holds one with its unit, and no exponent."""
    assert matrix.number(value) == text


def test_ratio() -> None:
    """To the bare host's, where it has one that is not nothing."""
    given = {"unit": "ns", "median": 250.0, "low": 1.0, "high": 2.0}
    assert [matrix.ratio(Figure(**given, host=host)) for host in (100.0, 0.0, None)] == ["2.5 × host", "", ""]
