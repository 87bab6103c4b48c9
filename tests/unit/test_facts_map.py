"""docs/facts-and-tests.md: every section has its tests, and every test that it names exists."""

import re
from pathlib import Path

REPO = Path(__file__).parents[2]
TEXT = (REPO / "docs" / "facts-and-tests.md").read_text()
LIFECYCLE, _, RESOURCES = TEXT.partition("\n## CPUs, memory and devices\n")
ROWS, FACTS = (
    [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if re.match(r"\| \d", line)]
    for part in (LIFECYCLE, RESOURCES)
)


def test_every_section_is_there() -> None:
    """Sections 0 to 16 in order, each with rules and with tests on a node."""
    assert [int(row[0].split()[0]) for row in ROWS] == list(range(17))
    assert all("tests/unit/" in row[1] and re.search(r"tests/(node|crash|conformance)/", row[2]) for row in ROWS)


def test_sections_of_resources_are_there() -> None:
    """11 to 12.2 in order, each fact with its rules."""
    assert list(dict.fromkeys(row[0].split()[0] for row in FACTS)) == ["11.1", "11.2", "11.3", "11.4", "12.1", "12.2"]
    assert all("tests/unit/" in row[1] for row in FACTS)


def test_every_named_test_exists() -> None:
    """A test that moves takes its line along."""
    named = re.findall(r"`(tests/[^`]+)`", TEXT)
    assert [path for path in named if not (REPO / path).exists()] == []
