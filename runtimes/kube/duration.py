"""Durations as Go writes them, in configuration files and in the messages of Kubernetes components."""

import re
from fractions import Fraction

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(ns|us|µs|μs|ms|s|m|h)")
# what an int64 holds of nanoseconds, in which Go counts: 292 years
_MAX_SECONDS = 2**63 / 1e9


def go_duration(seconds: float | Fraction) -> str:
    """A duration as Go prints it: "10s", "1m20s", "5m0s", "1h0m0.5s", "150ms", "1.5µs", "0s"."""
    nanoseconds = round(Fraction(seconds) * 10**9)
    sign, nanoseconds = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if nanoseconds == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if nanoseconds < 1000 * size:
            return f"{sign}{_decimal(nanoseconds, size)}{unit}"
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 10**9)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")


def whole_milliseconds(seconds: float) -> Fraction:
    """Cut, as the kubelet shows what took a while: 0.0514 -> 51/1000."""
    return Fraction(int(seconds * 1000), 1000)


def seconds(text: str) -> float:
    """`1h2m3.5s` in seconds. Raises ValueError, as Go does also for what is longer than 292 years."""
    bare = text.strip()
    sign = -1.0 if bare.startswith("-") else 1.0
    bare = bare[1:] if bare.startswith(("+", "-")) else bare
    if bare == "0":
        return 0.0
    total, end = 0.0, 0
    while found := _PART.match(bare, end):
        total += float(found[1]) * _UNITS[found[2]]
        end = found.end()
    if not bare or end < len(bare) or not total < _MAX_SECONDS:
        raise ValueError(f"{text[:64]!r} is not a duration such as 1m30s")
    return sign * total
