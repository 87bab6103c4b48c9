"""Kubernetes times as text: RFC 3339 in UTC, whole seconds for Time, microseconds for MicroTime."""

from datetime import UTC, datetime


def rfc3339(epoch_seconds: float) -> str:
    """1700000000.7 -> "2023-11-14T22:13:20Z"."""
    return datetime.fromtimestamp(int(epoch_seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(epoch_seconds: int, microseconds: int) -> str:
    """(1700000000, 5) -> "2023-11-14T22:13:20.000005Z"."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{microseconds:06d}Z"


def epoch(text: str) -> float:
    """The epoch seconds of an RFC 3339 text. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.timestamp()
