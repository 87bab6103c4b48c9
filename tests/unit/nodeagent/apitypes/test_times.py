"""How times are read."""

import pytest

from nodeagent.apitypes.scalars import Refused, reader_of
from nodeagent.apitypes.schema import Scalar, ScalarName

LAYOUT, MICRO = "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.000000Z07:00"


def read(name: ScalarName, text: str) -> str | None:
    try:
        found: str | None = reader_of(Scalar(name=name, go="x"))(text)
    except Refused as error:
        return str(error)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
        ("2026-01-02T03:04:05.999999999Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05,5-01:30", "2026-01-02T04:34:05Z"),
        ("2026-01-02T3:04:05Z", "2026-01-02T03:04:05Z"),
        ("0999-01-02T03:04:05Z", "0999-01-02T03:04:05Z"),
        ("0001-01-01T00:00:00Z", None),
        ("", f'parsing time "" as "{LAYOUT}": cannot parse "" as "2006"'),
        ("now", f'parsing time "now" as "{LAYOUT}": cannot parse "now" as "2006"'),
        ("2026-01-02", f'parsing time "2026-01-02" as "{LAYOUT}": cannot parse "" as "T"'),
        (
            "2026-01-02 03:04:05Z",
            f'parsing time "2026-01-02 03:04:05Z" as "{LAYOUT}": cannot parse " 03:04:05Z" as "T"',
        ),
        (
            "2026-1-02T03:04:05Z",
            f'parsing time "2026-1-02T03:04:05Z" as "{LAYOUT}": cannot parse "1-02T03:04:05Z" as "01"',
        ),
        ("2026-01-02T03:04:05", f'parsing time "2026-01-02T03:04:05" as "{LAYOUT}": cannot parse "" as "Z07:00"'),
        ("2026-01-02T03:04:05z", f'parsing time "2026-01-02T03:04:05z" as "{LAYOUT}": cannot parse "z" as "Z07:00"'),
        ("2026-13-02T03:04:05Z", 'parsing time "2026-13-02T03:04:05Z": month out of range'),
        ("2026-02-30T03:04:05Z", 'parsing time "2026-02-30T03:04:05Z": day out of range'),
        ("2026-01-02T24:00:00Z", 'parsing time "2026-01-02T24:00:00Z": hour out of range'),
        ("2026-01-02T03:60:00Z", 'parsing time "2026-01-02T03:60:00Z": minute out of range'),
        ("2026-01-02T03:04:60Z", 'parsing time "2026-01-02T03:04:60Z": second out of range'),
        ("2026-01-02T03:04:05Zx", 'parsing time "2026-01-02T03:04:05Zx": extra text: "x"'),
        ("20260102T030405Z", f'parsing time "20260102T030405Z" as "{LAYOUT}": cannot parse "0102T030405Z" as "-"'),
    ],
)
def test_times(text: str, expected: str | None) -> None:
    """RFC 3339 with any fraction; written in UTC, whole seconds. The zero time is none."""
    assert read("time", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05.000001Z", "2026-01-02T03:04:05.000001Z"),
        ("2026-01-02T03:04:05.100000+02:00", "2026-01-02T01:04:05.100000Z"),
        ("0001-01-01T00:00:00.000000Z", None),
        ("2026-01-02T03:04:05Z", f'parsing time "2026-01-02T03:04:05Z" as "{MICRO}": cannot parse "Z" as ".000000"'),
        (
            "2026-01-02T03:04:05.1Z",
            f'parsing time "2026-01-02T03:04:05.1Z" as "{MICRO}": cannot parse ".1Z" as ".000000"',
        ),
        (
            "2026-01-02T03:04:05.1234567Z",
            f'parsing time "2026-01-02T03:04:05.1234567Z" as "{MICRO}": cannot parse "7Z" as "Z07:00"',
        ),
    ],
)
def test_times_with_microseconds(text: str, expected: str | None) -> None:
    """Exactly six digits of fraction, read and written."""
    assert read("micro-time", text) == expected
