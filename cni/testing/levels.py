"""How much a check counts, and its name for reports.

A check is a test function named `test_<id>_<words>`, its id that of docs/facts/network.md 8 in lower case: ids stay, words may
change. Its docstring says what is expected, and where the specification says so.
"""

import inspect
import re
from typing import Any, Final

import pytest

LEVELS: Final = ("must", "should", "may")
MARKER: Final = "cni_level"
_NAME = re.compile(r"test_([a-z]+[0-9]+)_")
_CITED = re.compile(r"(CNI [0-9.]+, section .*?)\.?$", re.MULTILINE)

# the specification says MUST, or Kubernetes cannot do without
must = pytest.mark.cni_level("must")
# the specification says SHOULD, or no user would want it otherwise
should = pytest.mark.cni_level("should")
# observed, and good to know
may = pytest.mark.cni_level("may")


def check_id(name: str) -> str:
    """The id of the check that is the function `name`: "D2" of test_d2_deleted_again; "" for what is no check."""
    found = _NAME.match(name)
    return found[1].upper() if found else ""


def described(function: object) -> dict[str, str]:
    """id, level, promise, and section of the specification ("" where it is silent); empty for what is no check."""
    marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == MARKER]
    if not marks:
        return {}
    promise = inspect.cleandoc(function.__doc__ or "")
    cited = _CITED.search(promise)
    return {
        "id": check_id(getattr(function, "__name__", "")),
        "level": marks[0].args[0],
        "spec": cited[1] if cited else "",
        "promise": promise,
    }


def properties(item: pytest.Item) -> list[tuple[str, Any]]:
    """What reports say of a check beside its outcome: id, level, section, promise."""
    return list(described(getattr(item, "function", None)).items())
