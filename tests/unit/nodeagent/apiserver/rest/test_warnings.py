"""Warning headers."""

from nodeagent.apiserver.rest.warnings import MAX_RUNES, MAX_RUNES_OF_ONE, warning_headers


def test_headers() -> None:
    """Each text once, in order, quoted; nothing for nothing; no control characters."""
    assert warning_headers(["a", 'say "b\\c"', "a", "", "d\ne"]) == [
        '299 - "a"',
        '299 - "say \\"b\\\\c\\""',
        '299 - "d e"',
    ]


def test_long_texts() -> None:
    """What fits is told whole; when all together are too long each is cut, and there is an end to it."""
    assert warning_headers(["x" * MAX_RUNES]) == [f'299 - "{"x" * MAX_RUNES}"']
    many = [f"{number:03}" + "x" * 997 for number in range(100)]
    cut = warning_headers(many)
    assert cut == [f'299 - "{text[:MAX_RUNES_OF_ONE]}"' for text in many[: MAX_RUNES // MAX_RUNES_OF_ONE]]
