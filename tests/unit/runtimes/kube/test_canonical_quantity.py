"""Quantities are stored in one form."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.kube import quantity
from runtimes.kube.canonical_quantity import MILLI, canonical, canonical_map, is_quantity


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("1000Ki", "1000Ki"), ("0.5", "500m"), ("1500m", "1500m"),
        ("2000m", "2"), (1, "1"), (0.1, "100m"), ("1000", "1k"), ("1e3", "1e3"), ("100e3", "100e3"), ("0", "0"),
        ("0Gi", "0"), ("512", "512"), ("1.3Gi", "1395864371200m"), ("0.5Ki", "512"), ("-1", "-1"), ("1n", "1n"),
        ("0.1n", "1n"), ("1M", "1M"), ("1000M", "1G"), ("123456789", "123456789"), (" 1 ", "1"),
    ],
)  # fmt: skip
def test_canonical(text: str | float, stored: str) -> None:
    """The stored text is the shortest of its suffix family."""
    assert canonical(text) == stored


def test_milli() -> None:
    """Container resources are rounded up to thousandths, in place; what is no quantity is left for validation."""
    resources = {"cpu": "0.0001", "memory": "1000Mi", "x": "no", "y": None}
    canonical_map(resources, digits=MILLI)
    assert resources == {"cpu": "1m", "memory": "1000Mi", "x": "no", "y": None}


@given(st.integers(0, 10**15), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi", "e3"]))
def test_value_is_kept(amount: int, suffix: str) -> None:
    """The canonical text means the same amount, and is its own canonical text."""
    text = f"{amount}{suffix}"
    stored = canonical(text)
    assert quantity.parse(stored) == min(quantity.parse(text), Fraction(2**63 - 1))
    assert canonical(stored) == stored


def test_is_quantity() -> None:
    """Numbers and texts of the right form are quantities, booleans and the rest are not."""
    assert [is_quantity(v) for v in ("1", 2, 1.5, "x", True, None, {})] == [
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]
