"""The mount table of this process: `/proc/self/mountinfo` with its escapes undone (proc_pid_mountinfo(5)).

Names in it are whatever somebody mounted. The kernel escapes space, tab, newline and backslash as three octal digits and nothing
else: a name may hold what `splitlines` takes for the end of a line, and bytes that are no UTF-8, which become surrogates as
everywhere in `os`.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_FIELDS = 6  # before the optional ones
_POINT = 4  # which of them is the mount point


@dataclass(frozen=True, slots=True, kw_only=True)
class MountEntry:
    """`device`: number of the file system, as `8:1`. `root`: what of the file system is mounted, as a path in it.

    `tags`: the propagation, such as `shared:5`, `master:1`. `options`: of the file system, as it was mounted.
    """

    device: str
    root: str
    point: str
    tags: tuple[str, ...]
    fstype: str
    source: str
    options: tuple[str, ...]


def read_mounts(table: Path = TABLE) -> list[MountEntry]:
    """All mounts, in the order in which they were made. Raises OSError."""
    return list(parse(os.fsdecode(table.read_bytes())))


def mount_points(table: Path = TABLE) -> list[str]:
    """Where something is mounted, in the order in which it was made: a tenth of the work of `read_mounts`. Raises OSError."""
    lines = (line.split(" ", _POINT + 1) for line in os.fsdecode(table.read_bytes()).split("\n"))
    return [_plain(fields[_POINT]) for fields in lines if len(fields) > _POINT]


def parse(text: str) -> Iterator[MountEntry]:
    """The entries of a mountinfo text; a line that is none is passed over."""
    for line in text.split("\n"):
        fields = line.split(" ")
        if "-" not in fields[_FIELDS:]:
            continue
        end = fields.index("-", _FIELDS)
        fstype, source, options, *_ = (*fields[end + 1 :], "", "", "")
        yield MountEntry(
            device=fields[2],
            root=_plain(fields[3]),
            point=_plain(fields[_POINT]),
            tags=tuple(fields[_FIELDS:end]),
            fstype=fstype,
            source=_plain(source),
            options=tuple(options.split(",")),
        )


def _plain(name: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), name) if "\\" in name else name
