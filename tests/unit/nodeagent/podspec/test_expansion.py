"""`$(NAME)` in commands, values and paths."""

import tracemalloc

import pytest

from nodeagent.podspec.expansion import MAX_PATH_BYTES, MissingVariable, TooLarge, expand, expand_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)-$(B)", "1-2"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A $ $", "$A $ $"),
        ("$(A", "$(A"),
        ("$(C)", "$(A)"),
        ("$()", "$()"),
        ("$($(A)", "$($(A)"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    """Known names are replaced once, $$ is a dollar, all else stays."""
    assert expand(text, {"A": "1", "C": "$(A)"}, {"A": "shadowed", "B": "2"}, max_bytes=100) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)" * 10, "x" * 100),
        ("$(A)" * 11, None),
        ("$(A)" * 10 + "y", None),
        ("y" * 101, None),
        ("$(E)" * 50, "é" * 50),
        ("$(E)" * 51, None),
        ("$$" * 100, "$" * 100),
        ("$(NONE)" * 14, "$(NONE)" * 14),
        ("$(NONE)" * 15, None),
        ("$(EMPTY)" * 1000, ""),
        ("$(BYTE)" * 100, "\udcff" * 100),
        ("$(BYTE)" * 101, None),
    ],
)
def test_expansion_has_a_bound(text: str, expected: str | None) -> None:
    """In bytes of UTF-8, whatever it is made of; one byte more is refused."""
    values = {"A": "x" * 10, "E": "é", "EMPTY": "", "BYTE": "\udcff"}
    if expected is not None:
        assert expand(text, values, max_bytes=100) == expected
        return
    with pytest.raises(TooLarge, match="larger than 100 bytes when its variables are put in"):
        expand(text, values, max_bytes=100)


def test_what_an_expansion_would_be_is_known_before_it_is_made() -> None:
    """A terabyte asked for by a few lines: refused with no more memory than the lines."""
    values = {"A": "x" * 1_000_000}
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            expand("$(A)" * 1_000_000, values, max_bytes=2_000_000)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


class Counted(str):
    """Text that counts how many characters were looked through for a closing parenthesis."""

    looked = 0

    def find(self, sub: str, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        found = super().find(sub, start)
        Counted.looked += (found if found >= 0 else len(self)) - start
        return found


@pytest.mark.parametrize("text", ["$(" * 1000, "$(" * 1000 + ")", "$(x$$" * 1000, "$$(" * 1000, "$(a)$(" * 1000])
def test_references_that_do_not_end_are_not_looked_at_twice(text: str) -> None:
    """The work is that of the text's length, not of its square."""
    Counted.looked = 0
    assert expand(Counted(text), {}, max_bytes=100_000) == text.replace("$$", "$")
    assert Counted.looked <= 4 * len(text)


def test_a_path_has_the_bound_of_paths() -> None:
    """What no kernel takes for a path is not made."""
    assert len(expand_path("$(A)", {"A": "x" * MAX_PATH_BYTES})) == MAX_PATH_BYTES
    with pytest.raises(TooLarge):
        expand_path("$(A)$(A)", {"A": "x" * 3000})


def test_path_expansion_needs_every_value() -> None:
    """An unset or empty variable in a path is an error."""
    assert expand_path("$(A)/x", {"A": "1"}) == "1/x"
    for variables in ({}, {"A": ""}):
        with pytest.raises(MissingVariable, match="missing value for A"):
            expand_path("$(A)/x", variables)
