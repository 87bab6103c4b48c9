"""Versions of the CNI specification."""

from collections.abc import Iterable
from typing import Final

KNOWN: Final = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
CURRENT: Final = KNOWN[-1]
WHEN_MISSING: Final = KNOWN[0]  # of a configuration that names none

# First versions that have a command or a field.
CHECK: Final = "0.4.0"
DEL_PREV_RESULT: Final = "0.4.0"
GC: Final = "1.1.0"
STATUS: Final = "1.1.0"


def is_known(version: str) -> bool:
    return version in KNOWN


def at_least(version: str, first: str) -> bool:
    """Whether the known `version` is `first` or later."""
    return KNOWN.index(version) >= KNOWN.index(first)


def highest_known(versions: Iterable[str]) -> str | None:
    """The highest of `versions` that this library knows, or None."""
    known = [version for version in versions if version in KNOWN]
    return max(known, key=KNOWN.index, default=None)
