"""Numbers in the texts of strangers."""

import pytest

from runtimes.kube.whole_number import whole_number


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("007", 7), (b"65535", 65535), ("9" * 19, int("9" * 19))],
)
def test_digits(text: str | bytes, value: int) -> None:
    """Digits are a number, of text and of bytes."""
    assert whole_number(text) == value


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1_0", "²", "٣", "0x1", "1.0", "9" * 20, "9" * 5000, b"\xff"])
def test_anything_else(text: str | bytes) -> None:
    """No sign, no space, no other script, and no length that `int` refuses."""
    assert whole_number(text) is None


def test_hexadecimal() -> None:
    """Of both cases, without a prefix."""
    assert [whole_number(text, 16) for text in ("fF", "-6", "0x1", "g")] == [255, None, None, None]
