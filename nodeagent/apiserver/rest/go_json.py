"""What is wrong with a JSON text, in the words of Go's decoder."""

import json
from typing import Any

END = "unexpected end of JSON input"
_KINDS = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
_PLACES = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Illegal trailing comma before end of array": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
}
_COMMA = "Expecting ',' delimiter"
_HEX = "Invalid \\uXXXX escape"


def syntax_error(data: bytes) -> str:
    """Why `data` is no JSON text; empty when it is one."""
    text = data.decode("latin-1")
    try:
        # no number is made: only the form is asked for, and a long one takes the square of its length
        json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        return _told(text, error)
    except RecursionError:
        return "exceeded max depth"
    return ""


def kind_of(value: Any) -> str:
    """The JSON type of a decoded value: object, array, string, number, bool, null."""
    return "null" if value is None else _KINDS.get(type(value), "value")


def _told(text: str, error: json.JSONDecodeError) -> str:
    position = error.pos
    what = error.msg
    if what == "Expecting value" and (literal := _literal(text, position)):
        return literal
    if what == "Unterminated string starting at" or position >= len(text.rstrip(" \t\r\n")):
        return END
    if what == _COMMA:
        place = "after array element" if _inside_list(text, position) else "after object key:value pair"
    elif what == _HEX:
        place = "in \\u hexadecimal character escape"
    else:
        place = next(
            (told for known, told in _PLACES.items() if what.startswith(known)), "looking for beginning of value"
        )
    if what.startswith("Illegal trailing comma"):
        position += 1 + len(text[position + 1 :]) - len(text[position + 1 :].lstrip(" \t\r\n"))
    return f"invalid character {_shown(text[position])} {place}"


def _literal(text: str, position: int) -> str:
    """A word that begins as true, false or null do and goes on otherwise."""
    word = next((word for word in ("true", "false", "null") if text[position : position + 1] == word[0]), "")
    for offset, wanted in enumerate(word):
        if position + offset >= len(text):
            return END
        if text[position + offset] != wanted:
            return f"invalid character {_shown(text[position + offset])} in literal {word} (expecting '{wanted}')"
    return ""


def _inside_list(text: str, end: int) -> bool:
    """Whether the innermost bracket that is open before `end` is a list's."""
    opened: list[str] = []
    quoted = escaped = False
    for letter in text[:end]:
        if quoted:
            quoted = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            quoted = True
        elif letter in "[{":
            opened.append(letter)
        elif letter in "]}" and opened:
            opened.pop()
    return bool(opened) and opened[-1] == "["


def _shown(letter: str) -> str:
    special = {"'": r"'\''", '"': "'\"'", "\n": r"'\n'", "\t": r"'\t'", "\r": r"'\r'", "\\": r"'\\'"}
    if letter in special:
        return special[letter]
    return f"'{letter}'" if letter.isprintable() else f"'\\x{ord(letter):02x}'"
