"""The pages on security name the test of each claim; the tests are there."""

import ast
import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[3]
PAGES = ("SECURITY.md", "docs/security.md", "docs/threat-model.md")
# `path::name`, or the path of a whole file of tests; a case in brackets may follow. Paths may leave out their `tests/`.
CITED = re.compile(r"`(?P<path>[\w./-]*test_\w+\.py)(?:::(?P<name>\w+)(?:\[[^`]*\])?)?`")
LEAST = 100


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def missing(text: str) -> list[str]:
    """The cited tests that do not exist."""
    found = []
    for match in CITED.finditer(text):
        path = next((each for each in (REPO / match["path"], REPO / "tests" / match["path"]) if each.is_file()), None)
        if path is None or (match["name"] and match["name"] not in functions(path)):
            found.append(match[0])
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_cited_test_exists(page: str) -> None:
    """By its path and its name; of parametrized ones the function counts."""
    assert missing((REPO / page).read_text()) == []


def test_the_pages_cite_tests() -> None:
    """The pattern finds what the tables say."""
    text = "".join((REPO / page).read_text() for page in PAGES)
    assert len(list(CITED.finditer(text))) > LEAST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`tests/unit/docs/test_cited_tests.py::functions`", False),
        ("`unit/docs/test_cited_tests.py::missing[some case]`", False),
        ("`tests/unit/docs/test_cited_tests.py`", False),
        ("`tests/unit/docs/test_cited_tests.py::gone`", True),
        ("`tests/unit/docs/test_gone.py::missing`", True),
    ],
)
def test_what_is_missing_is_found(text: str, expected: bool) -> None:
    """A name that is gone, a file that is gone; a case in brackets is not looked for."""
    assert bool(missing(text)) is expected
