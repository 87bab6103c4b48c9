"""`--output FORM[=FILE]`: which forms there are, and where each goes."""

import enum
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from nodeagent.testers.record import Run
from nodeagent.testers.report import html, json, junit, table, tap


class Form(enum.StrEnum):
    TABLE = "table"
    JUNIT = "junit"
    JSON = "json"
    TAP = "tap"
    HTML = "html"


_WRITERS: Final[Mapping[Form, Callable[[Run], str]]] = MappingProxyType(
    {
        Form.TABLE: table.write,
        Form.JUNIT: junit.write,
        Form.JSON: json.write,
        Form.TAP: tap.write,
        Form.HTML: html.write,
    }
)


@dataclass(frozen=True, slots=True)
class Destination:
    """`file` None: standard output."""

    form: Form
    file: Path | None = None


def parse(texts: Sequence[str]) -> list[Destination]:
    """Standard output gets the table where nothing else goes there. Raises ValueError."""
    found = [_one(text) for text in texts]
    plain = [each for each in found if each.file is None]
    if len(plain) > 1:
        raise ValueError(f"{plain[1].form} and {plain[0].form} cannot both go to standard output: {plain[1].form}=FILE")
    return found if plain else [Destination(Form.TABLE), *found]


def _one(text: str) -> Destination:
    form, equals, file = text.partition("=")
    if form not in tuple(Form):
        raise ValueError(f"{form!r} is none of {', '.join(Form)}")
    if equals and not file:
        raise ValueError(f"{text!r} names no file")
    if not equals:
        return Destination(Form(form))
    path = Path(os.path.abspath(file))  # noqa: PTH100  # links stay
    if not path.parent.is_dir() or path.is_dir():
        raise ValueError(
            f"{file} cannot be written: {'it is a folder' if path.is_dir() else 'there is no such folder'}"
        )
    return Destination(Form(form), path)


def publish(run: Run, destinations: Sequence[Destination]) -> None:
    """Write them all; a file is there whole or not at all. Raises OSError."""
    for each in destinations:
        text = _WRITERS[each.form](run)
        if each.file is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            _write(each.file, text)


def _write(file: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, prefix=".", delete=False) as temporary:
        temporary.write(text)
    made = Path(temporary.name)
    made.chmod(0o644)
    made.replace(file)
