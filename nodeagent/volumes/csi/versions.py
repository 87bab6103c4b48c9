"""Which versions of CSI a driver speaks, and whether that will do. Pure. Source: docs/facts/storage.md 10.1."""

import re
from collections.abc import Iterable

Version = tuple[int, int, int]
_PATTERN = re.compile(r"v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:[-+].*)?")
_MAJOR = 1  # every 1.x can be talked to; 0.x is gone, and what 2.x will be is not known


def highest(versions: Iterable[str]) -> Version | None:
    """The highest of those that can be talked to; None: there is none."""
    found = [version for text in versions if (version := _parse(text)) is not None and version[0] == _MAJOR]
    return max(found, default=None)


def shown(version: Version) -> str:
    return ".".join(str(number) for number in version)


def _parse(text: str) -> Version | None:
    match = _PATTERN.fullmatch(text)
    if match is None:
        return None
    major, minor, patch = match.groups(default="0")
    return int(major), int(minor), int(patch)
