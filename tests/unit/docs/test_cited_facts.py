"""Facts are cited as `docs/facts/FILE.md SECTIONS`: every citation can be opened."""

import re
import subprocess
from functools import cache
from pathlib import Path

REPO = Path(__file__).parents[3]
FACTS = REPO / "docs" / "facts"

SECTION = r"(?:\d+|[A-Q])(?:\.\d+)?(?![\w.]*\w)"  # 4, 4.1, A, A.1; not the 1 of a version 1.2.3
NOTE = r"(?:\s*\([^()]*\))?"  # what is meant in a section: 3.1 (9)
BETWEEN = r"(?:\s*,\s*|\s+and\s+|\s+to\s+|-)"
CITATION = re.compile(
    rf"docs/facts/(?P<sheet>[\w-]+)\.md(?:\s+(?P<sections>{SECTION}{NOTE}(?:{BETWEEN}{SECTION}{NOTE})*))?"
)


@cache
def _sections(sheet: Path) -> frozenset[str]:
    return frozenset(re.findall(r"^#{2,3} ((?:\d+|[A-Q])(?:\.\d+)?)\.? ", sheet.read_text(), re.MULTILINE))


def _sources() -> list[Path]:
    named = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "hack/*"], cwd=REPO, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    own = Path(__file__).relative_to(REPO)
    return [REPO / name for name in named if Path(name) != own and (REPO / name).is_file()]


def _text(path: Path) -> str:
    """With a comment's and a docstring's broken lines joined."""
    return re.sub(r"\n\s*(?:#:? ?)?", " ", path.read_bytes().decode(errors="replace"))


def _wrong(text: str) -> list[str]:
    """The citations that lead nowhere."""
    wrong = []
    for match in CITATION.finditer(text):
        sheet = FACTS / f"{match['sheet']}.md"
        if not sheet.is_file():
            wrong.append(f"{sheet.name}: no such sheet")
            continue
        cited = re.findall(SECTION, re.sub(r"\([^()]*\)", "", match["sections"] or ""))
        wrong += [f"{sheet.name} {section}: no such section" for section in cited if section not in _sections(sheet)]
    return wrong


def test_every_citation_can_be_opened() -> None:
    """The sheet exists, and has a heading of every section that is named."""
    assert {str(path.relative_to(REPO)): wrong for path in _sources() if (wrong := _wrong(_text(path)))} == {}


def test_facts_are_cited_with_their_sheet() -> None:
    """`facts: 4.1` says no file: nobody could open it."""
    bare = re.compile(r"\(facts\b(?! sheet|\.\w|,)|\bfacts: |(?<!docs/)\bfacts/[a-z-]+\.md|\.\./shared")
    found = [
        f"{path.relative_to(REPO)}: {line.strip()}"
        for path in _sources()
        for line in path.read_bytes().decode(errors="replace").splitlines()
        if bare.search(line) and not re.search(r"\bfacts: [\w.]*Facts\b|\bfacts: \w+[,)=[]", line)
    ]
    assert found == []


def test_a_wrong_citation_is_found() -> None:
    """A sheet or a section that is not there, in a list, a range, after a note or over a broken line, is reported."""
    lists = "docs/facts/pod-lifecycle.md 4.1 (2), 4.99 and 5.1; docs/facts/nothing.md 1"
    assert _wrong(lists) == ["pod-lifecycle.md 4.99: no such section", "nothing.md: no such sheet"]
    assert _wrong("docs/facts/storage.md 1 to 1.77, RFC 9110") == ["storage.md 1.77: no such section"]
    assert _wrong("docs/facts/api-client-and-server.md K.3, Z.1 and docs/facts/network.md") == []
