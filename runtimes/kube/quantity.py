"""Kubernetes quantities: "100m", "1.5Gi", "2e3" as exact numbers, and back to canonical text.

Source: the resource.Quantity format of the Kubernetes API conventions.
"""

import math
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache

PATTERN = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
}
# more digits than any machine has bytes; the time to make a number of a text is the square of its length
_MAX_LENGTH = 256
_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,3})|([numkMGTPE]|[KMGTPE]i)?)")
MAX = Fraction(2**63 - 1)


class InvalidQuantity(ValueError):
    """The text is not a quantity."""

    def __init__(self, text: str) -> None:
        super().__init__(f"quantities must match the regular expression '{PATTERN}'")
        self.text = text


@lru_cache(maxsize=4096)
def parse(text: str | int | float) -> Fraction:
    """Return the exact value of a quantity, at most 2^63-1 either way: what is larger is capped, as the API defines it.

    Numbers are taken as they stand. Raises InvalidQuantity.
    """
    try:
        return min(max(_value(text), -MAX), MAX)
    except (InvalidOperation, ValueError, OverflowError) as error:  # of a number that is none: NaN, infinity
        raise error if isinstance(error, InvalidQuantity) else InvalidQuantity(str(text)[:64]) from error


def _value(text: str | int | float) -> Fraction:
    if isinstance(text, int | float):
        return Fraction(text) if isinstance(text, int) else Fraction(str(text))
    match = _FORM.fullmatch(text.strip()) if len(text) <= _MAX_LENGTH else None
    if match is None:
        raise InvalidQuantity(text)
    number, exponent, suffix = match.groups()
    if exponent:
        return Fraction(Decimal(number + exponent))
    value = Fraction(Decimal(number))
    return value * (_BINARY[suffix] if suffix in _BINARY else _DECIMAL[suffix or ""])


def value(text: str | int | float) -> int:
    """The quantity in whole units (bytes, pods), rounded up."""
    return math.ceil(parse(text))


def milli(text: str | int | float) -> int:
    """The quantity in thousandths (millicores), rounded up."""
    return math.ceil(parse(text) * 1000)


def from_milli(amount: int) -> str:
    """Canonical text of `amount` thousandths: 1500 -> "1500m", 2000 -> "2"."""
    return str(amount // 1000) if amount % 1000 == 0 else f"{amount}m"


def from_bytes(amount: int) -> str:
    """Canonical text of `amount` bytes with the largest binary suffix that divides it: 1048576 -> "1Mi"."""
    if amount:
        for suffix, factor in reversed(_BINARY.items()):
            if amount % factor == 0:
                return f"{amount // factor}{suffix}"
    return str(amount)
