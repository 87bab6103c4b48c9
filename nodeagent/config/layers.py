"""What is laid over a KubeletConfiguration file: the drop-ins of --config-dir, then the flags of the command line. Pure, but for
finding the drop-ins. Source: docs/facts/node-resources.md 1.1.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodeagent.config.kubelet import DEFAULT_EVICTION_HARD

SUFFIX = ".conf"
_ADDED_TO = ("featureGates",)  # key by key; the other mappings of a flag are the whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One flag: the field that it is for, and its value as a file would have it."""

    flag: str
    field: tuple[str, ...]
    value: Any


def drop_ins(directory: Path) -> list[Path]:
    """Every `*.conf` below the folder, in lexical order of their paths. Raises OSError."""
    found: list[Path] = []

    def fail(error: OSError) -> None:
        raise error

    for folder, names, files in os.walk(directory, onerror=fail):
        names.sort()
        found += [Path(folder, name) for name in files if name.endswith(SUFFIX)]
    return sorted(found)


def defaulted(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as drop-ins find it: with those defaults that are more than the absence of a value."""
    found = dict(document)
    if not found.get("evictionHard"):
        found["evictionHard"] = dict(DEFAULT_EVICTION_HARD)
    if found.get("serializeImagePulls") is None and (found.get("maxParallelImagePulls") or 1) < 2:
        found["serializeImagePulls"] = True
    return found


def overridden(document: Mapping[str, Any], overrides: Sequence[Override]) -> dict[str, Any]:
    """The document with what the flags say in its place."""
    found = dict(document)
    for each in overrides:
        *outer, name = each.field
        place = found
        for step in outer:
            inner = place.get(step)
            place[step] = dict(inner) if isinstance(inner, Mapping) else {}
            place = place[step]
        before = place.get(name)
        if name in _ADDED_TO and isinstance(before, Mapping):
            place[name] = {**before, **each.value}
        else:
            place[name] = each.value
    return found
