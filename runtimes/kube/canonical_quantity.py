"""Canonical text of quantities, as the API stores them: `1024Mi` becomes `1Gi`, `0.5` becomes `500m`, 1 becomes `"1"`.

The suffix family stays the author's: binary for Ki…Ei, decimal for m…E and none, exponent for e/E with digits.
"""

import math
import re
from fractions import Fraction
from typing import Any

from runtimes.kube import quantity

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
_EXPONENT = re.compile(r"[eE][+-]?\d+$")
_MAX = 2**63 - 1
NANO = 9
MILLI = 3
# as many as are surely below _MAX
_PLAIN_DIGITS = 18


def canonical(text: str | int | float, *, digits: int = NANO) -> str:
    """The stored form; digits finer than 10^-`digits` are rounded up (away from zero). Raises InvalidQuantity."""
    raw = str(text).strip()
    if len(raw) <= _PLAIN_DIGITS and raw.isascii() and raw.isdigit():
        return _plain(int(raw))
    value = quantity.parse(text)
    scaled = value * 10**digits
    rounded = Fraction(math.ceil(scaled) if scaled >= 0 else math.floor(scaled), 10**digits)
    rounded = min(max(rounded, Fraction(-_MAX)), Fraction(_MAX))
    if rounded == 0:
        return "0"
    if raw.endswith("i") and abs(rounded) >= 1024 and rounded.denominator == 1:
        return _binary(rounded.numerator)
    return _decimal(rounded, exponent=_EXPONENT.search(raw) is not None)


def _plain(amount: int) -> str:
    """A whole number without a suffix: most quantities, and no fractions are needed for it."""
    power = 0
    while amount and amount % 1000 == 0 and power < 18:
        amount //= 1000
        power += 3
    return f"{amount}{_DECIMAL[power]}" if amount else "0"


def _binary(amount: int) -> str:
    power = 0
    while amount % 1024 == 0 and power < len(_BINARY) - 1:
        amount //= 1024
        power += 1
    return f"{amount}{_BINARY[power]}"


def _decimal(value: Fraction, *, exponent: bool) -> str:
    power = -9
    amount = int(value * 10**9)
    while amount % 1000 == 0 and power < 18:
        amount //= 1000
        power += 3
    if exponent:
        return str(amount) if power == 0 else f"{amount}e{power}"
    return f"{amount}{_DECIMAL[power]}"


def canonical_map(resources: Any, *, digits: int = NANO) -> None:
    """Rewrite the values of a resource map in place; values that are no quantities are left for validation."""
    if not isinstance(resources, dict):
        return
    for name, text in resources.items():
        resources[name] = canonical_or_same(text, digits=digits)


def canonical_or_same(text: Any, *, digits: int = NANO) -> Any:
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return text
    try:
        return canonical(text, digits=digits)
    except quantity.InvalidQuantity:
        return text


def is_quantity(text: Any) -> bool:
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return False
    try:
        quantity.parse(text)
    except quantity.InvalidQuantity:
        return False
    return True
