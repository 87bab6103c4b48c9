"""Values as Kubernetes configuration files write them: Go durations and quantities, and paths."""

import re
from typing import NewType

Duration = NewType("Duration", str)
Quantity = NewType("Quantity", str)
# A relative one in a file is relative to the file (config/paths.py); empty: not set.
FilePath = NewType("FilePath", str)
# The same, but a bare name is looked for on PATH.
Program = NewType("Program", str)

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


def seconds(text: str) -> float:
    """`1h2m3.5s` in seconds. Raises ValueError."""
    bare = text.strip()
    sign = -1.0 if bare.startswith("-") else 1.0
    bare = bare.lstrip("+-")
    if bare == "0":
        return 0.0
    parts = _PART.findall(bare)
    if not parts or "".join(number + unit for number, unit in parts) != bare:
        raise ValueError(f"{text!r} is not a duration such as 1m30s")
    return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)
