"""The cases of the runtimes' conformance suite: one name each, and no exception that nobody asks for."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from runtimes.testing import cases
from runtimes.testing.abilities import ABILITIES
from runtimes.testing.implementation import Implementation

TESTING = Path(str(cases.__file__)).parents[1]
FILES = sorted(TESTING.glob("cases/test_*.py"))


def test_every_case_has_a_name_of_its_own() -> None:
    """suite.py joins them in one module: a second one of a name would take the first one's place in silence."""
    trees = [ast.parse(path.read_text()) for path in FILES]
    names = [
        node.name for tree in trees for node in tree.body if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
    ]
    assert [name for name, count in Counter(names).items() if count > 1 and name.startswith("test_")] == []
    assert len([name for name in names if name.startswith("test_")]) > 100


def test_suite_has_every_file() -> None:
    """A new file of cases is one more line there."""
    imported = re.findall(r"^from runtimes\.testing\.cases\.(\w+) import \*$", (TESTING / "suite.py").read_text(), re.M)
    assert imported == [path.stem for path in FILES]


def test_abilities_are_those_that_cases_ask_for() -> None:
    """None is asked for that is not explained, and none is explained that nobody asks for."""
    asked: set[str] = set()
    for path in (*FILES, TESTING / "subject.py", TESTING / "implementation.py"):
        for arguments in re.findall(r"\.(?:needs|can)\(([^)]*)\)", path.read_text()):
            asked |= set(re.findall(r'"([^"]+)"', arguments))
    assert asked == set(ABILITIES)


def test_exceptions_are_abilities_or_cases() -> None:
    """What is misspelt would be an exception from nothing."""
    with pytest.raises(ValueError, match="exceptions of x: procesess: no ability and no case"):
        Implementation(name="x", type="oci", exceptions={"procesess": "typo", "processes": "", "test_exec_sync": ""})
