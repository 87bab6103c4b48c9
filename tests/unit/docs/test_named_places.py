"""What documents say about where things are."""

import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[3]
DOCUMENTS = ("CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/owners.md", "docs/runtime-plugins.md")
QUOTED = re.compile(r"`([^`\n]+)`")
PLACE = re.compile(r"[\w./-]*(?:/|\.(?:py|json|md|toml|proto))")
FILES = [
    path.relative_to(REPO)
    for path in REPO.rglob("*")
    if not any(part.startswith(".") for part in path.relative_to(REPO).parts)
]


def _is_there(place: str) -> bool:
    """A path below the repository or below nodeagent, or the end of one (`exits.py` in a row about runtimes/oci)."""
    wanted = Path(place).parts
    return any(path.parts[-len(wanted) :] == wanted for path in FILES)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_files_and_folders_exist(document: str) -> None:
    """Who follows a document finds the file: a room that moves takes its name along."""
    quoted = QUOTED.findall((REPO / document).read_text())
    places = {
        place for text in quoted if PLACE.fullmatch(place := re.split(r"[: ,]", text)[0]) and place[0] not in "./"
    }
    to_come = {"steps/devices.py"}
    assert sorted(place for place in places - to_come if not _is_there(place)) == []
