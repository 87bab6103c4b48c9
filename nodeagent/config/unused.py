"""Which fields of an operator's file nothing reads: accepted, so that the file works, and reported."""

from collections.abc import Collection, Iterator
from typing import Any


def unused(given: dict[str, Any], acted_on: Collection[str]) -> Iterator[str]:
    """Dotted names, the outermost of what is unused; `acted_on`: dotted names of what is read."""
    yield from _unused(given, "", acted_on)


def _unused(given: dict[str, Any], prefix: str, acted_on: Collection[str]) -> Iterator[str]:
    for key, value in given.items():
        name = f"{prefix}{key}"
        if name in acted_on:
            continue
        if isinstance(value, dict) and any(known.startswith(f"{name}.") for known in acted_on):
            yield from _unused(value, f"{name}.", acted_on)
        else:
            yield name
