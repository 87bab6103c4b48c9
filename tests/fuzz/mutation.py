"""Changes to inputs: of bytes, of words, of JSON values; what has broken parsers before comes most often."""

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

DIGITS = "9" * 5000
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63,
    2**64,
    10**30,
    1.5,
    -0.0,
    1e308,
    "",
    "a",
    "x" * 300,
    "\0",
    "\ud800",
    "\u2028",
    "²",
    "٣",
    "../x",
    "a\nb",
    "$(A)$(A)",
    "-1",
    "1e999",
    "1e999999999",
    "1E18",
    "0.000000001n",
    "99999999999999999999h",
    "9" * 400,
    DIGITS,
    "NaN",
    "Infinity",
    [],
    {},
    [[]],
    [None],
    [1],
    {"": None},
    {"a": [1]},
)
WORDS: tuple[bytes, ...] = (
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999999999",
    b"-",
    b"null",
    b"[",
    b"{",
    b"[" * 2000,
    b'{"a":' * 1500,
    b"&a [*a,*a]",
    b"<<: *a",
    b"9" * 5000,
    b"0x" + b"f" * 4000,
    b"0.0.0.0",
    b"::1",
    b"\r\n",
    b"\n",
    b" ",
    b"%",
    b"\xc2\xb2",
    b"\x1f\x8b\x08",
    b"(\xb5/\xfd",
)


def mutated(data: bytes, chance: random.Random, words: Sequence[bytes], others: Sequence[bytes], most: int) -> bytes:
    """One to four changes of `data`. `others`: inputs to take pieces from."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        if chance.random() < 0.5 and (changed := _json(data, chance)) is not None:
            data = changed
        else:
            data = chance.choice(_CHANGES)(data, chance, (*words, *WORDS), others)
    return data[:most]


def _json(data: bytes, chance: random.Random) -> bytes | None:
    """Another value somewhere in a JSON document; None where it is none."""
    if data[:1] not in (b"{", b"["):
        return None
    try:
        document = json.loads(data)
        places = list(_places(document))
        if not places:
            return None
        holder, key = chance.choice(places)
        match chance.randrange(6):
            case 0:
                del holder[key]
            case 1:
                other, name = chance.choice(places)
                holder[key] = copy.deepcopy(other[name])
            case 2 if isinstance(holder, dict):
                holder[str(chance.choice(VALUES))[:300]] = holder[key]
            case 3 if isinstance(holder, list):
                holder.extend(copy.deepcopy(holder[key]) for _ in range(chance.choice((1, 3, 70))))
            case _:
                holder[key] = copy.deepcopy(chance.choice(VALUES))
        return json.dumps(document).encode()
    except (ValueError, RecursionError):
        return None


def _places(document: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    rest = [document]
    while rest:
        item = rest.pop()
        pairs = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        for key, value in pairs:
            found.append((item, key))
            rest.append(value)
    return found


Change = Callable[[bytes, random.Random, Sequence[bytes], Sequence[bytes]], bytes]


def _flip(data: bytes, chance: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(changed))
        changed[at] = chance.choice((changed[at] ^ (1 << chance.randrange(8)), chance.randrange(256), 0, 255))
    return bytes(changed)


def _insert(data: bytes, chance: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + chance.choice(words) + data[at:]


def _overwrite(data: bytes, chance: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    at, word = chance.randint(0, len(data)), chance.choice(words)
    return data[:at] + word + data[at + chance.choice((1, len(word))) :]


def _cut(data: bytes, chance: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + data[chance.randint(at, min(len(data), at + chance.choice((1, 8, 64, len(data))))) :]


def _repeat(data: bytes, chance: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    at = chance.randint(0, len(data))
    piece = data[at : at + chance.choice((1, 4, 16, 64))]
    return data[:at] + piece * chance.choice((2, 2, 10, 2000)) + data[at:]


def _splice(data: bytes, chance: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    other = chance.choice(others) if others else data
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


_CHANGES: tuple[Change, ...] = (_flip, _insert, _overwrite, _cut, _repeat, _splice)
