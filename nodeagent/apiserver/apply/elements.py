"""Path elements: one step from a value to a part of it, in the text form of `fieldsV1`.

f:NAME    a field of a struct, a key of a map
k:{…}     the element of a list with these key fields (JSON, names sorted)
v:JSON    the element of a set with this value
i:N       the element of a list at this place
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

KINDS = "fkvi"
_ESCAPES = (
    ("<", "\\u003c"),
    (">", "\\u003e"),
    ("&", "\\u0026"),
    ("\u2028", "\\u2028"),
    ("\u2029", "\\u2029"),
)


# names of fields and keys; longer ones would be kept for whoever sent them
_MAX_CACHED = 256


class BadElement(ValueError):
    """A text that is no path element."""


def quoted(text: str) -> str:
    """`text` as JSON, escaped as Go's encoder does."""
    return _quoted_name(text) if len(text) <= _MAX_CACHED else _quoted(text)


@lru_cache(maxsize=4096)
def _quoted_name(text: str) -> str:
    return _quoted(text)


def _quoted(text: str) -> str:
    return html_safe(msgspec.json.encode(text).decode())


def html_safe(encoded: str) -> str:
    """JSON text with the characters escaped that Go's encoder escapes for the sake of HTML."""
    for plain, escaped in _ESCAPES:
        if plain in encoded:
            encoded = encoded.replace(plain, escaped)
    return encoded


def _json(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    return html_safe(json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True))


def of_value(value: Any) -> str:
    return "v:" + _json(value)


def of_keys(pairs: Iterable[tuple[str, Any]]) -> str:
    """`pairs`: name and value of each key field, sorted by name."""
    return "k:{" + ",".join(f"{quoted(name)}:{_json(value)}" for name, value in pairs) + "}"


def canonical(text: str) -> str | None:
    """The one text of an element that a client wrote in its own way; None for a kind of a future version.

    Raises `BadElement`.
    """
    if len(text) < 2 or text[1] != ":":
        raise BadElement(f"no path element: {text!r}")
    kind, rest = text[0], text[2:]
    if kind not in KINDS:
        return None
    try:
        match kind:
            case "f":
                return text
            case "v":
                return of_value(json.loads(rest))
            case "k":
                keys = json.loads(rest)
                if not isinstance(keys, dict):
                    raise BadElement(f"no path element: {text!r}")
                return of_keys(sorted(keys.items()))
        return f"i:{int(rest)}"
    except BadElement:
        raise
    except (ValueError, RecursionError) as error:
        raise BadElement(f"no path element: {text!r}") from error


def order(text: str) -> tuple[Any, ...]:
    """A key that sorts elements: names, keys, values, places; each in its own order."""
    kind, rest = text[0], text[2:]
    if kind == "f":
        return (0, rest)
    if kind == "k":
        return (1, [(name, _rank(value)) for name, value in json.loads(rest).items()])
    if kind == "v":
        return (2, _rank(json.loads(rest)))
    return (3, int(rest))


def _rank(value: Any) -> tuple[int, Any]:
    """Numbers before texts before truths; what cannot be compared, by its text."""
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, int | float):
        return (0, value)
    if isinstance(value, str):
        return (1, value)
    return (3, _json(value))


def readable(text: str) -> str:
    """As paths in messages show it: `.name`, `[name="x"]`, `[="x"]`, `[0]`."""
    kind, rest = text[0], text[2:]
    if kind == "f":
        return "." + rest
    if kind == "k":
        return "[" + ",".join(f"{name}={_shown(value)}" for name, value in json.loads(rest).items()) + "]"
    if kind == "v":
        return f"[={_shown(json.loads(rest))}]"
    return f"[{rest}]"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
