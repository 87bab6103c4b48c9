"""The cases as a list: each has an id, a level, a section of the specification, and a promise."""

import ast
import re
from collections import Counter
from pathlib import Path

from csi.testing.levels import LEVELS, case_id
from proto import csi_pb2 as csi

REPO = Path(__file__).resolve().parents[4]
CASES = REPO / "csi" / "testing" / "cases"
# headings of the specification that are not those of calls
SECTIONS = {"Concurrency", "Connectivity", "Error Scheme", "Secrets Requirements", "Volume Lifecycle"}


def cases() -> list[ast.AsyncFunctionDef]:
    trees = [ast.parse(path.read_text()) for path in sorted(CASES.glob("test_*.py"))]
    found = [node for tree in trees for node in tree.body if isinstance(node, ast.AsyncFunctionDef)]
    return [node for node in found if node.name.startswith("test_")]


def row(identity: str) -> str:
    """Of the table: "X3" of "X3B"."""
    return re.sub(r"(?<=\d)[A-Z]$", "", identity)


def test_ids_are_those_of_the_facts() -> None:
    """Each case has one of its own: of the tables in docs/facts/storage.md 11, with a letter where a row is several cases."""
    table = set(re.findall(r"^\| ([A-Z]\d+) \|", (REPO / "docs/facts/storage.md").read_text(), re.MULTILINE))
    ids = Counter(case_id(node.name) for node in cases())
    assert {identity: number for identity, number in ids.items() if number > 1} == {}
    assert {row(identity) for identity in ids} - table == set()
    assert len(ids) > 80


def test_what_has_no_case_is_told() -> None:
    """docs/testing-csi.md lists every id of the facts that is no case and in no docstring of one, and no other."""
    table = re.findall(r"^\| ([A-Z]\d+) \|", (REPO / "docs/facts/storage.md").read_text(), re.MULTILINE)
    met = {row(case_id(node.name)) for node in cases()}
    met |= {each for node in cases() for each in re.findall(r"\b[A-Z]\d+\b", ast.get_docstring(node) or "")}
    section = (REPO / "docs/testing-csi.md").read_text().split("### What a tester cannot see")[1].split("\n###")[0]
    told = re.findall(r"\b[A-Z]\d+\b", " ".join(re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)))
    assert sorted(told) == sorted(set(table) - met)


def test_the_cases_beside_csi_sanity_are_there() -> None:
    """Those that docs/testing-csi.md names as counterparts."""
    section = (REPO / "docs/testing-csi.md").read_text().split("### Beside csi-sanity")[1].split("\n## ")[0]
    named = {each for cell in re.findall(r"\| ([^|]+) \|$", section, re.MULTILINE) for each in cell.split(", ")}
    assert len(named) > 50
    assert named - {case_id(node.name) for node in cases()} == {"cases"}


def test_every_case_says_what_it_is_about() -> None:
    """One decorator of csi/testing/levels.py, with a call or a section of CSI; a docstring."""
    calls = {method.name for service in csi.DESCRIPTOR.services_by_name.values() for method in service.methods}
    wrong = []
    for node in cases():
        marks = [each for each in node.decorator_list if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)]
        told = [ast.literal_eval(each.args[0]) for each in marks if each.func.id in LEVELS]  # type: ignore[attr-defined]
        if len(told) != 1 or told[0] not in calls | SECTIONS or not ast.get_docstring(node):
            wrong.append(node.name)
    assert wrong == []


def test_names_are_unique() -> None:
    """`csi.testing.suite` imports them all into one module."""
    names = Counter(node.name for node in cases())
    assert [name for name, number in names.items() if number > 1] == []


def test_the_id_of_a_name() -> None:
    assert [case_id(name) for name in ("test_n12_x", "test_x3b_y", "test_other", "helper")] == ["N12", "X3B", "", ""]
