"""`--output FORM[=FILE]`: where each form of a report goes. A form is a name and what writes it."""

import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from runtimes.linux.files import replace_file

_Report = TypeVar("_Report")

TABLE: Final = "table"
"""The form for people, which standard output gets where nothing else goes there."""


@dataclass(frozen=True, slots=True)
class Destination:
    """`file` None: standard output."""

    form: str
    file: Path | None = None


def parse(texts: Sequence[str], forms: Sequence[str]) -> list[Destination]:
    """What goes where, that to standard output first if it is the table. Raises ValueError."""
    found = [_one(text, forms) for text in texts]
    plain = [each for each in found if each.file is None]
    if len(plain) > 1:
        raise ValueError(f"{plain[1].form} and {plain[0].form} cannot both go to standard output: {plain[1].form}=FILE")
    return found if plain else [Destination(TABLE), *found]


def _one(text: str, forms: Sequence[str]) -> Destination:
    form, equals, file = text.partition("=")
    if form not in forms:
        raise ValueError(f"{form!r} is none of {', '.join(forms)}")
    if equals and not file:
        raise ValueError(f"{text!r} names no file")
    if not equals:
        return Destination(form)
    path = Path(os.path.abspath(file))  # noqa: PTH100  # links stay
    if why := _unwritable(path):
        raise ValueError(f"{file} cannot be written: {why}")
    return Destination(form, path)


def _unwritable(path: Path) -> str:
    """Why no file can be put there; empty where one can. Root could put one in the place of /dev/stdout, for good."""
    if not path.parent.is_dir():
        return "there is no such folder"
    if path.is_dir():
        return "it is a folder"
    there = os.path.lexists(path)
    return "it is a link, a device or a pipe, no file" if there and not stat.S_ISREG(path.lstat().st_mode) else ""


def publish(
    report: _Report, writers: Mapping[str, Callable[[_Report], str]], destinations: Sequence[Destination]
) -> None:
    """Write them all; a file is there whole or not at all. Raises OSError."""
    for each in destinations:
        text = writers[each.form](report)
        if each.file is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            replace_file(each.file, text.encode(), mode=0o644, durable=False)
