"""Times as Go's `time.Parse` reads them: RFC 3339 with or without a fraction, and the form with exactly six digits of it."""

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

LAYOUT = "2006-01-02T15:04:05Z07:00"
MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_PLAIN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_PLAIN_MICRO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class _Part(NamedTuple):
    """A part of a layout: how the layout writes it, what a text may have there, and what range its number has."""

    layout: str
    form: re.Pattern[str]
    name: str = ""
    low: int = 0
    high: int = 0


def _literal(text: str) -> _Part:
    return _Part(text, re.compile(re.escape(text)))


_TWO = re.compile(r"\d\d")
_START = (
    _Part("2006", re.compile(r"\d{4}")),
    _literal("-"),
    _Part("01", _TWO, "month", 1, 12),
    _literal("-"),
    _Part("02", _TWO),
    _literal("T"),
    _Part("15", re.compile(r"\d\d?"), "hour", 0, 23),
    _literal(":"),
    _Part("04", _TWO, "minute", 0, 59),
    _literal(":"),
    _Part("05", _TWO, "second", 0, 59),
)
_ZONE = _Part("Z07:00", re.compile(r"Z|[+-]\d\d:\d\d"))
_PARTS = {
    LAYOUT: (*_START, _Part("fraction", re.compile(r"(?:[.,]\d+)?")), _ZONE),
    MICRO_LAYOUT: (*_START, _Part(".000000", re.compile(r"[.,]\d{6}")), _ZONE),
}


class BadTime(ValueError):
    """The text is no time; the words are Go's."""


def parse_time(text: str) -> datetime:
    """RFC 3339, in UTC. Raises BadTime."""
    if _PLAIN.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return _parse(text, LAYOUT)
    return _parse(text, LAYOUT)


def micro_time(moment: datetime) -> datetime:
    """To be written as a MicroTime: that must show its six digits, and msgspec leaves them out when all are zero."""
    return moment if moment.microsecond else moment.replace(microsecond=1)


def parse_micro_time(text: str) -> datetime:
    """RFC 3339 with exactly six digits of fraction, in UTC. Raises BadTime."""
    if _PLAIN_MICRO.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return _parse(text, MICRO_LAYOUT)
    return _parse(text, MICRO_LAYOUT)


def _parse(text: str, layout: str) -> datetime:
    found: list[str] = []
    offset = 0
    for part in _PARTS[layout]:
        match = part.form.match(text, offset)
        if match is None:
            raise BadTime(
                f'parsing time {_quoted(text)} as "{layout}": cannot parse {_quoted(text[offset:])} as "{part.layout}"'
            )
        if part.name and not part.low <= int(match[0]) <= part.high:
            raise BadTime(f"parsing time {_quoted(text)}: {part.name} out of range")
        found.append(match[0])
        offset = match.end()
    if offset < len(text):
        raise BadTime(f"parsing time {_quoted(text)}: extra text: {_quoted(text[offset:])}")
    year, month, day, hour, minute, second = (int(found[index]) for index in range(0, 11, 2))
    if not 1 <= day <= monthrange(max(year, 1), month)[1]:
        raise BadTime(f"parsing time {_quoted(text)}: day out of range")
    micros = int(found[11][1:7].ljust(6, "0")) if found[11] else 0
    try:
        return datetime(year, month, day, hour, minute, second, micros, _zone(found[12])).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadTime(f"parsing time {_quoted(text)}: {error}") from error


def _zone(text: str) -> timezone:
    if text == "Z":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[4:]))
    return timezone(-offset if text[0] == "-" else offset)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
