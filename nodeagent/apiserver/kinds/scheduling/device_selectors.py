"""Selectors of devices: CEL expressions over one device of a ResourceSlice.

`device.driver`, `device.attributes["DOMAIN"].NAME`, `device.capacity["DOMAIN"].NAME`; quantities and versions compare by
functions. The library lacks optional fields (`.?`) and `cel.bind`: such expressions are refused when they are written.
"""

import functools
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from runtimes.kube import quantity
from runtimes.kube.json_object import JsonObject

MAX_EXPRESSION = 10 * 1024  # bytes
_SEMVER = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_BIND = re.compile(r"\bcel\s*\.\s*bind\s*\(")
_QUANTITY, _VERSION = "quantity", "semver"  # the one key of the map that stands for such a value
_VALUES = ("bool", "int", "string")


class SelectorError(Exception):
    """The expression is no CEL, or has no answer for a device. The text says why."""


@functools.lru_cache(maxsize=512)
def compiled(expression: str) -> Any:
    """Raises SelectorError."""
    import cel  # a node without such claims does without

    if _BIND.search(expression):  # the library takes it for a function, which nobody has when it is asked
        raise SelectorError("cel.bind is not supported here")
    try:
        return cel.compile(expression)
    except ValueError as error:
        raise SelectorError(" ".join(str(error).split())) from error


def selects(expression: str, driver: str, device: JsonObject) -> bool:
    """Whether the expression holds for a device of a slice of this driver. Raises SelectorError."""
    import cel

    program = compiled(expression)
    context = cel.Context()
    for name, function in _FUNCTIONS.items():
        context.add_function(name, function)
    context.add_variable("device", as_seen(driver, device))
    try:
        answer = program.execute(context)
    except (ArithmeticError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise SelectorError(f"CEL expression {expression!r}: {error}") from error
    if not isinstance(answer, bool):
        raise SelectorError(f"CEL expression {expression!r}: must evaluate to bool")
    return answer


def as_seen(driver: str, device: JsonObject) -> JsonObject:
    """The device as expressions see it: a name without a domain is of the driver's own."""
    return {
        "driver": driver,
        "attributes": _by_domain(driver, device.get("attributes") or {}, attribute),
        "capacity": _by_domain(driver, device.get("capacity") or {}, lambda told: _of_quantity(told["value"])),
        "allowMultipleAllocations": bool(device.get("allowMultipleAllocations")),
    }


def attribute(told: JsonObject) -> Any:
    """An attribute's value, a list where it has several."""
    for kind in _VALUES:
        if told.get(kind) is not None:
            return told[kind]
        if told.get(f"{kind}s") is not None:
            return list(told[f"{kind}s"])
    if told.get("versions") is not None:
        return [{_VERSION: version} for version in told["versions"]]
    return {_VERSION: told.get("version") or ""}


def _by_domain(driver: str, told: Mapping[str, JsonObject], value: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {driver: {}}
    for full, each in told.items():
        domain, _, name = full.rpartition("/")
        found.setdefault(domain or driver, {})[name] = value(each)
    return found


def _of_quantity(text: Any) -> dict[str, str]:
    """Equal amounts are equal values, however they are written."""
    return {_QUANTITY: str(quantity.parse(text))}


def _of_version(text: str) -> dict[str, str]:
    if not _SEMVER.fullmatch(text):
        raise ValueError(f"{text!r} is no semantic version")
    return {_VERSION: text}


def _compare(one: Mapping[str, str], other: Mapping[str, str]) -> int:
    first, second = _rank(one), _rank(other)
    return int(first > second) - int(first < second)


def _rank(value: Mapping[str, str]) -> Any:
    if _QUANTITY in value:
        return Fraction(value[_QUANTITY])
    match = _SEMVER.fullmatch(value[_VERSION])
    if match is None:
        raise ValueError(f"{value[_VERSION]!r} is no semantic version")
    before = match[4]
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in (before or "").split(".")]
    return [int(match[number]) for number in (1, 2, 3)], before is None, parts


def _is_quantity(text: str) -> bool:
    try:
        quantity.parse(text)
    except ValueError:
        return False
    return True


_FUNCTIONS: Mapping[str, Any] = {
    "quantity": _of_quantity,
    "isQuantity": _is_quantity,
    "semver": _of_version,
    "isSemver": lambda text: _SEMVER.fullmatch(text) is not None,
    "compareTo": _compare,
    "isGreaterThan": lambda one, other: _compare(one, other) > 0,
    "isLessThan": lambda one, other: _compare(one, other) < 0,
}
