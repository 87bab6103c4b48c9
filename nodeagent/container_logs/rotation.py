"""What one rotation of a log does. Pure. Source: docs/facts/node-resources.md 6.3.

0.log                       the live log
0.log.20260102-030405       rotated
0.log.20260102-030405.gz    rotated, packed up once there is a newer one; while that lasts 0.log.20260102-030405.tmp is there
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

_FORMAT = "%Y%m%d-%H%M%S"
_STAMP = re.compile(r"\d{8}-\d{6}")
PACKED = ".gz"
UNFINISHED = ".tmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What one rotation deletes, and the name that the live log gets."""

    remove: tuple[str, ...]
    rotated: str


def stamps(live: str, names: Collection[str]) -> list[str]:
    """The stamps of a log's rotated files, oldest first; one that is there packed and unpacked counts once."""
    found = (name[len(live) + 1 :].removesuffix(PACKED) for name in names if name.startswith(f"{live}."))
    return sorted({stamp for stamp in found if _STAMP.fullmatch(stamp)})


def rotation(live: str, names: Collection[str], *, max_files: int, now: datetime) -> Rotation:
    """`names`: all that is in the folder; what follows no pattern of ours is not touched.

    Not `<live>.tmp`: by that name conmon begins a new log, and ends if it vanishes. A clock that was set back does not make a
    rotated file the older one.
    """
    there = set(names)
    known = stamps(live, names)
    kept = known[max(0, len(known) - (max_files - 2)) :]
    dropped = known[: len(known) - len(kept)]
    remove = sorted(name for name in there if _is_unfinished(live, name))
    remove += [name for stamp in dropped for name in files(live, stamp) if name in there]
    remove += [f"{live}.{stamp}" for stamp in kept if set(files(live, stamp)) <= there]
    stamp = now.strftime(_FORMAT)
    if known and stamp <= known[-1]:
        stamp = _next(known[-1])
    return Rotation(remove=tuple(remove), rotated=f"{live}.{stamp}")


def to_pack(live: str, names: Collection[str]) -> list[str]:
    """What is to be packed up, oldest first: the rotated files but the newest, to which a runtime may still write."""
    return [name for stamp in stamps(live, names)[:-1] if (name := f"{live}.{stamp}") in names]


def files(live: str, stamp: str) -> tuple[str, str]:
    """The names that a rotated file may have."""
    return f"{live}.{stamp}", f"{live}.{stamp}{PACKED}"


def _is_unfinished(live: str, name: str) -> bool:
    stamp = name.removeprefix(f"{live}.").removesuffix(UNFINISHED)
    return name == f"{live}.{stamp}{UNFINISHED}" and _STAMP.fullmatch(stamp) is not None


def _next(stamp: str) -> str:
    """The second after; for digits that are no time, the next number."""
    try:
        return (datetime.strptime(stamp, _FORMAT) + timedelta(seconds=1)).strftime(_FORMAT)
    except (ValueError, OverflowError):
        number = min(int(stamp.replace("-", "")) + 1, 10**14 - 1)
        return f"{number:014d}"[:8] + "-" + f"{number:014d}"[8:]
