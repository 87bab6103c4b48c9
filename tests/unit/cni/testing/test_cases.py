"""The checks as a list: each has an id, a level, a promise, and the place of the rule."""

import ast
import re
from collections import Counter
from pathlib import Path

from cni.testing.levels import LEVELS, check_id

REPO = Path(__file__).resolve().parents[4]
CASES = REPO / "cni" / "testing" / "cases"
SOURCE = re.compile(r"CNI 1\.1\.0, section|CNI conventions|Kubernetes|reference plugins|Option `")


def checks() -> dict[str, ast.AsyncFunctionDef]:
    """Every test function of the suite, by its name."""
    trees = [ast.parse(path.read_text()) for path in sorted(CASES.glob("test_*.py"))]
    found = [node for tree in trees for node in tree.body if isinstance(node, ast.AsyncFunctionDef)]
    return {node.name: node for node in found if node.name.startswith("test_")}


def test_ids_are_those_of_the_facts() -> None:
    """Each check has one of its own, of the table in docs/facts/network.md 8; of a row without docs/testing-cni.md says why."""
    table = set(re.findall(r"^\| ([A-Z]\d+) \|", (REPO / "docs/facts/network.md").read_text(), re.MULTILINE))
    ids = Counter(check_id(name) for name in checks())
    assert {name: number for name, number in ids.items() if number > 1} == {}
    assert set(ids) - table == set()
    explained = set(re.findall(r"\b[A-Z]\d+\b", _without_function()))
    assert table - set(ids) - explained == set()
    assert len(ids) > 110


def _without_function() -> str:
    """The first column of the table about them."""
    text = (REPO / "docs/testing-cni.md").read_text()
    rows = text.partition("Rows of the table that have no function of their own:\n\n")[2].partition("\n\n")[0]
    return " ".join(row.split("|")[1] for row in rows.splitlines())


def test_every_check_has_a_level_and_says_where_the_rule_is() -> None:
    """A decorator of cni/testing/levels.py; the end of the docstring."""
    wrong = []
    for name, node in checks().items():
        levels = [item.id for item in node.decorator_list if isinstance(item, ast.Name) and item.id in LEVELS]
        if len(levels) != 1 or not SOURCE.search(ast.get_docstring(node) or ""):
            wrong.append(name)
    assert wrong == []


def test_the_id_of_a_name() -> None:
    assert [check_id(name) for name in ("test_d12_another", "test_other", "helper", "test_d1")] == ["D12", "", "", ""]
