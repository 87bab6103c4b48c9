"""YAML from anybody, as the plain values of JSON, at a cost that is known before it is paid.

The one reader of YAML for what a client, a file or a URL says. It goes through the parser's events once, builds as it goes, and
stops at the first value beyond its `Limits`; aliases are weighed before they are copied. Scalars and keys are read as
Kubernetes reads them (sigs.k8s.io/yaml): `on` and `y` are true, dates and `1:30` are texts, a whole number is an integer
however it was written, `1:` is the key `"1"`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

_PREFIX = "tag:yaml.org,2002:"
# each %TAG is compared with all before it by the parser, none of which is an event that could be counted
MAX_DIRECTIVES = 16
# a list of more repetitions helps nobody; the same bound as Kubernetes' JSON decoder has
MAX_REPEATED = 100
_SHOWN = 256
_DIRECTIVE = re.compile("(?:^\ufeff?|[\n\r\x85\u2028\u2029])%")
_NUMBER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
# beyond 64 bits an integer is read as a float; so many digits are enough to tell
_MAX_DIGITS = 80
_INTEGERS = range(-(1 << 63), 1 << 64)
# what Go's encoder writes without an exponent
_PLAIN_FLOAT = 1e21
_WORDS: dict[str, tuple[str, Any]] = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], ("bool", True)),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], ("bool", False)),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), ("null", None)),
    **{word: ("float", float("nan")) for word in (".nan", ".NaN", ".NAN")},
    **{sign + word: ("float", float(sign + "inf")) for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a text may weigh, and what it may become.

    `size`: characters of the text, and of all texts in the values with aliases carried out. `values`: how many there are,
    keys and aliased ones included; a pod has a few hundred. `depth`: of lists and mappings in each other; the parser looks at
    every open one for every word, and what walks the values later recurses.
    """

    size: int = 10 << 20
    values: int = 250_000
    depth: int = 256


class YamlError(ValueError):
    """The text is no YAML, has no form in JSON, or is beyond the limits. `line` counts from 1; 0 is not known."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(f"yaml: line {line}: {problem}" if line else f"yaml: {problem}")
        self.line = line
        self.problem = problem


class BeyondLimits(YamlError):
    """The text is too long, or becomes too much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """`repeated`: the keys that came again in the same mapping, such as `line 3: key "image" already set in map`; of such a
    key the last value is taken."""

    value: Any
    repeated: tuple[str, ...] = ()


def read(data: bytes | str, limits: Limits = Limits()) -> Document:
    """The only document of `data`; null of an empty one. Raises `YamlError`."""
    documents = read_all(data, limits)
    if len(documents) > 1:
        raise YamlError(f"one document is expected, {len(documents)} found")
    return documents[0] if documents else Document(value=None)


def read_all(data: bytes | str, limits: Limits = Limits()) -> list[Document]:
    """All documents of `data`, together within the limits. Raises `YamlError`."""
    builder = _Builder(limits)
    for event in _events(data, limits):
        builder.take(event)
    return builder.documents


def check(data: bytes | str, limits: Limits = Limits()) -> None:
    """Raise `BeyondLimits` where a reader that needs more of a text than its values, such as its lines, must not begin."""
    try:
        read_all(data, limits)
    except BeyondLimits:
        raise
    except YamlError:
        return  # the other reader's to tell


def _events(data: bytes | str, limits: Limits) -> Iterator[yaml.Event]:
    text = _text(data)
    if len(text) > limits.size:
        raise BeyondLimits(f"the text is longer than {limits.size} characters")
    if sum(1 for _ in _DIRECTIVE.finditer(text)) > MAX_DIRECTIVES and _directives(text) > MAX_DIRECTIVES:
        raise BeyondLimits(f"there are more than {MAX_DIRECTIVES} directives")
    try:
        yield from yaml.parse(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(error.problem or error.context or "cannot be read", mark.line + 1 if mark else 0) from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise YamlError(" ".join(str(error).split())) from error


def _text(data: bytes | str) -> str:
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError(f"invalid Unicode: {error.reason} at byte {error.start}") from error


def _directives(text: str) -> int:
    return sum(text.startswith(("%TAG", "%YAML"), found.end() - 1) for found in _DIRECTIVE.finditer(text))


@dataclass(slots=True)
class _Cost:
    values: int = 0
    size: int = 0


@dataclass(slots=True)
class _Anchor:
    """A value that may be named again. `height`: levels of lists and mappings in it. `open`: it is still being read."""

    value: Any = None
    cost: _Cost = field(default_factory=_Cost)
    height: int = 0
    open: bool = False


_NO_KEY = object()
_MERGE = object()


@dataclass(slots=True)
class _Frame:
    """A list or a mapping that is still open; `key` waits for its value."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    before: _Cost
    key: Any = _NO_KEY
    merged: list[dict[str, Any]] = field(default_factory=list)
    height: int = 1


class _Builder:
    """Events to values. The stack is a list: no nesting of a text is nesting of calls."""

    def __init__(self, limits: Limits) -> None:
        self.documents: list[Document] = []
        self._limits = limits
        self._spent = _Cost()
        self._anchors: dict[str, _Anchor] = {}
        self._stack: list[_Frame] = []
        self._root: Any = None
        self._repeated: list[str] = []

    def take(self, event: yaml.Event) -> None:
        """Raises `YamlError`."""
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close(event)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._anchors, self._root, self._repeated = {}, None, []
            case yaml.DocumentEndEvent():
                self.documents.append(Document(value=self._root, repeated=tuple(self._repeated)))

    def _spend(self, values: int, size: int, line: int, *, aliased: bool = False) -> None:
        spent, limits = self._spent, self._limits
        spent.values += values
        spent.size += size
        if spent.values > limits.values or spent.size > limits.size:
            if aliased:
                raise BeyondLimits("document contains excessive aliasing", line)
            raise BeyondLimits(f"there are more than {limits.values} values", line)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        line = _line(event)
        text: str = event.value
        self._spend(1, len(text), line)
        if event.anchor is not None:
            self._anchors[event.anchor] = anchor = _Anchor(cost=_Cost(1, len(text)))
        frame = self._stack[-1] if self._stack else None
        plain = event.implicit[0] and event.tag in (None, "!")
        if plain and text == "<<" and frame is not None and isinstance(frame.value, dict) and frame.key is _NO_KEY:
            frame.key = _MERGE
            return
        value = _resolved(text, event.tag, plain=plain, line=line)
        if event.anchor is not None:
            anchor.value = value
        self._place(value, 0, line)

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        line = _line(event)
        mapping = isinstance(event, yaml.MappingStartEvent)
        self._spend(1, 0, line)
        if len(self._stack) >= self._limits.depth:
            raise BeyondLimits(f"exceeded max depth of {self._limits.depth}", line)
        if event.tag not in (None, "!", _PREFIX + ("map" if mapping else "seq")):
            raise YamlError(f"a value with the tag {_short(event.tag)} has no form in JSON", line)
        before = _Cost(self._spent.values - 1, self._spent.size)
        self._stack.append(_Frame({} if mapping else [], event.anchor, before))
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(open=True)

    def _close(self, event: yaml.CollectionEndEvent) -> None:
        frame = self._stack.pop()
        value: Any = frame.value
        if frame.merged:
            found: dict[str, Any] = {}
            for merged in reversed(frame.merged):
                found |= merged
            value = found | value
        if frame.anchor is not None:
            cost = _Cost(self._spent.values - frame.before.values, self._spent.size - frame.before.size)
            self._anchors[frame.anchor] = _Anchor(value, cost, frame.height)
        self._place(value, frame.height, _line(event))

    def _alias(self, event: yaml.AliasEvent) -> None:
        line, name = _line(event), event.anchor or ""
        anchor = self._anchors.get(name)
        if anchor is None:
            raise YamlError(f"unknown anchor '{name[:_SHOWN]}' referenced", line)
        if anchor.open:
            raise YamlError(f"anchor '{name[:_SHOWN]}' value contains itself", line)
        self._spend(anchor.cost.values, anchor.cost.size, line, aliased=True)
        if len(self._stack) + anchor.height > self._limits.depth:
            raise BeyondLimits(f"exceeded max depth of {self._limits.depth}", line)
        self._place(_copied(anchor.value), anchor.height, line)

    def _place(self, value: Any, height: int, line: int) -> None:
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        frame.height = max(frame.height, height + 1)
        if isinstance(frame.value, list):
            frame.value.append(value)
        elif frame.key is _NO_KEY:
            frame.key = key = _key(value, line)
            if key in frame.value and len(self._repeated) < MAX_REPEATED:
                self._repeated.append(f'line {line}: key "{key[:_SHOWN]}" already set in map')
        elif frame.key is _MERGE:
            frame.merged += _merged(value, line)
            frame.key = _NO_KEY
        else:
            frame.value[frame.key] = value
            frame.key = _NO_KEY


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 0


def _merged(value: Any, line: int) -> list[dict[str, Any]]:
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in found):
        raise YamlError("map merge requires map or sequence of maps as the value", line)
    return found


def _key(value: Any, line: int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise YamlError(f"a {_kind(value)} is no key", line)


def _kind(value: Any) -> Literal["null", "list", "mapping"]:
    return "null" if value is None else "list" if isinstance(value, list) else "mapping"


def _resolved(text: str, tag: str | None, *, plain: bool, line: int) -> Any:
    """The value of a scalar. `plain`: what it is, is told by how it looks."""
    wanted = tag.removeprefix(_PREFIX) if tag else ""
    if not plain and wanted in ("", "!", "str", "timestamp"):
        return text
    if not plain and wanted not in ("bool", "int", "float", "null"):
        raise YamlError(f"a value with the tag {_short(tag)} has no form in JSON", line)
    found, value = _looked_at(text)
    if not plain and found != wanted and (found, wanted) != ("int", "float"):
        raise YamlError(f"cannot decode !!{found} `{text[:_SHOWN]}` as a !!{wanted}", line)
    if isinstance(value, float):
        if value - value != 0:  # not a number, or endless
            raise YamlError(f"{text} has no form in JSON", line)
        return int(value) if value.is_integer() and abs(value) < _PLAIN_FLOAT else value
    return value


def _looked_at(text: str) -> tuple[str, Any]:
    """The type of a plain scalar, by its tag's short name, and its value."""
    if text in _WORDS:
        return _WORDS[text]
    if not text or text[0] not in "+-.0123456789":
        return "str", text
    digits = text.replace("_", "") if text[0] != "." else text
    if len(digits) <= _MAX_DIGITS and _NUMBER.fullmatch(digits):
        number = _integer(digits)
        if number in _INTEGERS:
            return "int", number
    if _FLOAT.fullmatch(digits):
        value = float(digits)
        if value - value == 0:
            return "float", value
    return "str", text


def _integer(digits: str) -> int:
    sign, bare = (-1 if digits[0] == "-" else 1), digits.lstrip("+-").lower()
    if len(bare) > 1 and bare[0] == "0" and bare[1] not in "xbo":
        return sign * int(bare, 8)
    return sign * int(bare, 0)


def _short(tag: str | None) -> str:
    return (tag or "").replace(_PREFIX, "!!")[:_SHOWN]


def _copied(value: Any) -> Any:
    """Nothing in a document is shared, so that who changes one part changes no other. No deeper than `Limits.depth`."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copied(inner) for inner in value]
    return value
