"""What the probe program has written: lines of JSON, one a section. It comes out of a pod, so nothing of it is taken on trust."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

MAX_LINE = 1_000_000


def facts_of(text: str, sections: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Section -> facts. One that has no line is `{"error": …}`, with the last line that is no JSON, if there is one."""
    found: dict[str, Mapping[str, Any]] = {}
    said = ""
    for line in text.splitlines():
        entry = _entry(line)
        if entry is None:
            said = line.strip()[:300] or said
        elif entry["section"] in found:
            found[entry["section"]] = {**found[entry["section"]], **entry["facts"]}
        else:
            found[entry["section"]] = entry["facts"]
    names = {section.partition("=")[0] for section in sections}
    missing = {name: {"error": f"no answer{': ' + said if said else ''}"} for name in names if name not in found}
    return {name: facts for name, facts in found.items() if name in names} | missing


def entries(text: str, section: str) -> list[Mapping[str, Any]]:
    """The facts of every line of a section, in order: of a role that tells more than once."""
    found = (_entry(line) for line in text.splitlines())
    return [entry["facts"] for entry in found if entry is not None and entry["section"] == section]


def merged(sections: Iterable[str]) -> tuple[str, ...]:
    """Each section once, with the arguments of all its mentions (`files=/a` and `files=/b`: `files=/a,/b`), in that order."""
    arguments: dict[str, list[str]] = {}
    for section in sections:
        name, _, text = section.partition("=")
        known = arguments.setdefault(name, [])
        known += [part for part in text.split(",") if part and part not in known]
    return tuple(f"{name}={','.join(parts)}" if parts else name for name, parts in arguments.items())


def is_complete(text: str) -> bool:
    """Whether the program came to its end."""
    return any((entry := _entry(line)) is not None and entry["section"] == "end" for line in text.splitlines()[-3:])


def _entry(line: str) -> dict[str, Any] | None:
    if len(line) > MAX_LINE or not line.startswith("{"):
        return None
    try:
        entry = msgspec.json.decode(line)  # strict: no NaN, no half of a character, none of which a report could hold
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    good = isinstance(entry, dict) and isinstance(entry.get("section"), str) and isinstance(entry.get("facts"), dict)
    return entry if good else None
