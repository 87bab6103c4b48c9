"""How much a check counts, and its name for reports.

A check is a test function named `test_<id>_<words>`, its id that of docs/facts/network.md 8 in lower case: ids stay, words may
change. Its docstring says what is expected, and where the specification says so.
"""

import re
from typing import Any, Final

import pytest

LEVELS: Final = ("must", "should", "may")
MARKER: Final = "cni_level"
_NAME = re.compile(r"test_([a-z]+[0-9]+)_")

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


def properties(item: pytest.Item) -> list[tuple[str, Any]]:
    """What reports say of a check beside its outcome: id, level, and the promise."""
    function = getattr(item, "function", None)
    level = item.get_closest_marker(MARKER)
    if function is None or level is None:
        return []
    return [
        ("id", check_id(function.__name__)),
        ("level", level.args[0]),
        ("promise", (function.__doc__ or "").strip()),
    ]
