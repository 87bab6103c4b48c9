"""Inputs in the form that a reader expects, with something in it that it may not expect: strategies for hypothesis."""

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.mutation import VALUES, _places


def _encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


@st.composite
def near(draw: Any, *documents: Any, dump: Callable[[Any], bytes] = _encoded) -> bytes:
    """One of the documents, with up to four of its values replaced, removed, moved or repeated."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(0, 4))):
        places = _places(document)
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        match draw(st.integers(0, 5)):
            case 0:
                del holder[key]
            case 1:
                other, name = draw(st.sampled_from(places))
                if not isinstance(other, list) or name < len(other):
                    holder[key] = copy.deepcopy(other.get(name) if isinstance(other, dict) else other[name])
            case 2 if isinstance(holder, list):
                holder.extend([copy.deepcopy(holder[key])] * draw(st.sampled_from((1, 2, 70))))
            case 3 if isinstance(holder, dict):
                holder[draw(st.sampled_from(_KEYS))] = holder[key]
            case _:
                holder[key] = copy.deepcopy(draw(_ANYTHING))
    return dump(document)


_KEYS = tuple(value for value in VALUES if isinstance(value, str) and len(value) < 1000)
_ANYTHING = st.sampled_from(VALUES) | st.text(max_size=20) | st.integers() | st.floats(allow_nan=False)


def sentences(words: Sequence[str], most: int = 12) -> st.SearchStrategy[bytes]:
    """Words of a small language in any order, with anything in between now and then."""
    word = st.sampled_from(tuple(words)) | st.text(max_size=3) | st.integers().map(str)
    return st.lists(word, max_size=most).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass"))


def lines(words: Sequence[str], samples: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Text of lines: samples as they are, and lines made of words."""
    line = st.sampled_from(tuple(samples)).map(str.encode) | sentences(words)
    return st.lists(line, max_size=6).map(b"\n".join)


def packed(*strategies: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Several pieces one after the other, in any number and order."""
    return st.lists(st.one_of(*strategies), max_size=8).map(b"".join)


def text_of(data: bytes) -> str:
    """Bytes as the text that JSON could have brought: any character but halves of surrogate pairs."""
    return data.decode(errors="replace")
