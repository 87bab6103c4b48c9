"""Lines of a container's log file: CRI's format, and Docker's JSON (docs/facts/api-client-and-server.md K.3)."""

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from runtimes.kube.json_errors import UNREADABLE


@dataclass(frozen=True, slots=True)
class Line:
    """`time` is the text of the file; `partial`: no end of line was written."""

    time: str
    stream: str
    partial: bool
    content: bytes


def parse_line(raw: bytes) -> Line | None:
    """One line of the file, without its end; None for one that is none."""
    if raw.startswith(b"{"):
        return _docker_line(raw)
    parts = raw.split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    return Line(
        parts[0].decode(errors="replace"),
        parts[1].decode(),
        parts[2].split(b":", 1)[0] == b"P",
        parts[3] if len(parts) == 4 else b"",
    )


class _DockerLine(msgspec.Struct):
    log: str
    stream: str
    time: str


def _docker_line(raw: bytes) -> Line | None:
    try:
        found = msgspec.json.decode(raw, type=_DockerLine)
    except UNREADABLE:
        return None
    content = found.log.encode()
    return Line(found.time, found.stream, not content.endswith(b"\n"), content.removesuffix(b"\n"))


def parse_time(text: str) -> datetime | None:
    """RFC 3339 with up to nine fractional digits, of which a datetime keeps six."""
    main, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    text = f"{main}.{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}" if dot else text
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def nine_digits(text: str) -> str:
    """The time with exactly nine fractional digits."""
    main, dot, rest = text.partition(".")
    if not dot:
        return f"{text[:19]}.000000000{text[19:]}"
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{main}.{rest[:digits][:9].ljust(9, '0')}{rest[digits:]}"
