"""The grammar of label selectors: `a=b,c!=d,e in (f,g),h,!i,j>5`, with the complaints that clients know.

Names only; what a requirement means is said in `selectors`.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from runtimes.kube import names
from runtimes.kube.field_errors import invalid

_TOKEN = re.compile(r"\s*(?:(==|!=|[=!(),<>])|([^=!(),<>\s]+))")
_SYMBOLS = frozenset("=!(),<>")
_BINARY = ("in", "notin", "=", "==", "!=", ">", "<")
_BINARY_TEXT = "in, notin, =, ==, !=, gt, lt"
_INTEGER = re.compile(r"[+-]?[0-9]+")


class SelectorError(ValueError):
    """The text is no label selector."""


class Term(NamedTuple):
    """`operator`: exists, ! or one of the binary ones; `values` sorted, none twice."""

    key: str
    operator: str
    values: tuple[str, ...]


def terms(text: str) -> list[Term]:
    """The requirements of a selector, in order. Raises `SelectorError`."""
    reader = _Reader([found[1] or found[2] for found in _TOKEN.finditer(text)])
    found: list[Term] = []
    while True:
        token = reader.peek()
        if not token:
            return found
        if token != "!" and _symbol(token):
            raise SelectorError(f"found '{token}', expected: !, identifier, or 'end of string'")
        try:
            found.append(_term(reader))
        except SelectorError as error:
            raise SelectorError(f"unable to parse requirement: {error}") from None
        token = reader.take()
        if not token:
            return found
        if token != ",":
            raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")
        if (after := reader.peek()) != "!" and _symbol(after):
            raise SelectorError(f"found '{after}', expected: identifier after ','")


class _Reader:
    """Tokens one by one; the end is an empty one."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._next = 0

    def peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self._next += 1
        return token


def _symbol(token: str) -> bool:
    """Whether the token is no identifier."""
    return not token or token[0] in _SYMBOLS


def _term(reader: _Reader) -> Term:
    absent = reader.peek() == "!"
    if absent:
        reader.take()
    key = reader.take()
    if _symbol(key):
        raise SelectorError(f"found '{key}', expected: identifier")
    _check("<nil>", key, names.qualified_name)
    if absent:
        return Term(key, "!", ())
    if reader.peek() in ("", ","):
        return Term(key, "exists", ())
    operator = reader.take()
    if operator not in _BINARY:
        raise SelectorError(f"found '{operator}', expected: {_BINARY_TEXT}")
    values = tuple(sorted(_values(reader) if operator in ("in", "notin") else {_value(reader)}))
    for index, value in enumerate(values):
        if operator in ("<", ">") and not _INTEGER.fullmatch(value):
            why = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise SelectorError(str(invalid(f"values[{index}]", value, why)))
        _check(f"values[{index}][{key}]", value, names.label_value)
    return Term(key, operator, values)


def _check(path: str, text: str, rule: Callable[[str], list[str]]) -> None:
    if wrong := rule(text):
        raise SelectorError(str(invalid(path, text, "; ".join(wrong))))


def _value(reader: _Reader) -> str:
    if reader.peek() in ("", ","):
        return ""
    token = reader.take()
    if _symbol(token):
        raise SelectorError(f"found '{token}', expected: identifier")
    return token


def _values(reader: _Reader) -> set[str]:
    if (token := reader.take()) != "(":
        raise SelectorError(f"found '{token}' expected: '('")
    if (token := reader.peek()) == ")":
        reader.take()
        return {""}
    if token != "," and _symbol(token):
        raise SelectorError(f"found '{token}', expected: ',', ')' or identifier")
    values: set[str] = set()
    while True:
        token = reader.take()
        if token == ",":
            # an empty place at the start, at the end or between two commas is an empty value
            if not values or reader.peek() in (",", ")"):
                values.add("")
        elif _symbol(token):
            raise SelectorError(f"found '{token}', expected: ',', or identifier")
        else:
            values.add(token)
            if (after := reader.peek()) not in (",", ")"):
                raise SelectorError(f"found '{after}', expected: ',' or ')'")
        if reader.peek() == ")":
            reader.take()
            return values
