"""Amounts of the eviction settings, and their defaults."""

from fractions import Fraction

import pytest

from nodeagent.config.eviction import InvalidAmount, parse_amount, with_defaults
from nodeagent.config.kubelet import DEFAULT_EVICTION_HARD


@pytest.mark.parametrize(
    ("text", "of_1000", "off"),
    [
        ("100", 100, False),
        ("1Ki", 1024, False),
        ("0.5k", 500, False),
        ("10%", 100, False),
        ("0.5%", 5, False),
        ("0%", 0, True),
        ("100%", 1000, True),
    ],
)
def test_amounts(text: str, of_1000: int, off: bool) -> None:
    """A number is itself whatever there is, a percentage is a share of it; 0% and 100% are no threshold."""
    amount = parse_amount(text)
    assert (amount.of(1000), amount.is_off) == (Fraction(of_1000), off)


@pytest.mark.parametrize("text", ["", "%", "x", "nan%", "inf%", "-1%", "101%", "1e9999999%", "10 %%"])
def test_no_amounts(text: str) -> None:
    """Neither a quantity nor a share."""
    with pytest.raises(InvalidAmount):
        parse_amount(text)


def test_defaults() -> None:
    """What is given replaces the defaults, unless it is to be merged with them."""
    given = {"memory.available": "1Gi"}
    assert with_defaults(None, merge=False) == DEFAULT_EVICTION_HARD
    assert with_defaults(given, merge=False) == given
    assert with_defaults(given, merge=True) == DEFAULT_EVICTION_HARD | given
    assert with_defaults({}, merge=False) == {}
