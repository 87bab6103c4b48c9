"""Values as Kubernetes configuration files write them: Go durations and quantities, and paths."""

import re
from typing import NewType

Duration = NewType("Duration", str)
Quantity = NewType("Quantity", str)
# A relative one in a file is relative to the file (config/paths.py); empty: not set.
FilePath = NewType("FilePath", str)
# The same, but a bare name is looked for on PATH.
Program = NewType("Program", str)

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(ns|us|µs|μs|ms|s|m|h)")
# what an int64 holds of nanoseconds, in which Go counts: 292 years
_MAX_SECONDS = 2**63 / 1e9


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
