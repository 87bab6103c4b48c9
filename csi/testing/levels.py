"""How much a case counts, which rule it is about, and its name for reports.

A case is a test function named `test_<id>_<words>`, its id that of docs/facts/storage.md 11 in lower case, with a letter where
one row of that table is several cases: ids stay, words may change. Its docstring says what is expected.
"""

import inspect
import re
from typing import Any, Final

import pytest

LEVELS: Final = ("must", "should")
MARKER: Final = "csi_level"
_NAME = re.compile(r"test_([a-z][0-9]+[a-z]?)_")


def must(spec: str) -> pytest.MarkDecorator:
    """The specification leaves no choice. `spec`: the heading in it."""
    return pytest.mark.csi_level("must", spec)


def should(spec: str) -> pytest.MarkDecorator:
    """The specification recommends it, or everybody does so: not kept, it is told, and no failure."""
    return pytest.mark.csi_level("should", spec)


def case_id(name: str) -> str:
    """The id of the case that is the function `name`: "N12" of test_n12_makes_the_target; "" for what is no case."""
    found = _NAME.match(name)
    return found[1].upper() if found else ""


def described(function: object) -> dict[str, str]:
    """id, level, heading of the specification, promise; empty for what is no case."""
    marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == MARKER]
    if not marks:
        return {}
    level, spec = marks[0].args
    promise = inspect.cleandoc(function.__doc__ or "")
    return {"id": case_id(getattr(function, "__name__", "")), "level": level, "spec": spec, "promise": promise}


def properties(item: pytest.Item) -> dict[str, Any]:
    """What reports say of a case beside its outcome; nothing of what is no case."""
    return dict(described(getattr(item, "function", None)))
