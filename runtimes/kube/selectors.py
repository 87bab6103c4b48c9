"""What one requirement of a selector asks of a label: the operators of label selectors and node selectors."""

import re
from collections.abc import Collection

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


def holds(operator: str, values: Collection[str], value: str | None) -> bool:
    """Whether a label with this `value` (None: there is no such label) is what `operator` and `values` ask for.

    A requirement that validation would refuse (an unknown operator, Gt of two values) holds for nothing.
    """
    match operator:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return value is not None and _compares(operator, value, values)
    return False


def _compares(operator: str, value: str, values: Collection[str]) -> bool:
    """Gt and Lt compare decimal integers; `1_000`, which a label may say, is none."""
    if len(values) != 1:
        return False
    (bound,) = values
    if not _INTEGER.fullmatch(value) or not _INTEGER.fullmatch(bound):
        return False
    return int(value) > int(bound) if operator == "Gt" else int(value) < int(bound)
