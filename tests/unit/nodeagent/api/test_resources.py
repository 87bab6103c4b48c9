"""What the API's objects have in common."""

import pytest

from nodeagent.api.resources import is_older


@pytest.mark.parametrize(
    ("version", "known", "expected"),
    [
        ("9", "10", True),
        ("10", "10", False),
        ("11", "10", False),
        ("a9", "b1", False),
        ("9", "x", False),
        ("²", "10", False),
        ("", "10", False),
        (None, "10", False),
        ("9", None, False),
    ],
)
def test_is_older(version: str | None, known: str | None, expected: bool) -> None:
    """Versions compare as numbers; with one that is none nothing is known."""
    assert is_older(version, known) == expected
