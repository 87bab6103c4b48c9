"""Documents of configuration files: YAML with the line of each field, checked against their types, every mistake told.

A kubelet reads leniently: fields that do not exist, and those that are given twice, are warned of and left out.
"""

import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from nodeagent.config import agent, kubelet
from nodeagent.config.agent import NodeAgentConfiguration
from nodeagent.config.check import problems_of
from nodeagent.config.defaults import fill_zeroes
from nodeagent.config.kubelet import KubeletConfiguration
from nodeagent.config.paths import resolve_document
from runtimes.kube import bounded_yaml

KINDS: dict[tuple[str, str], type[msgspec.Struct]] = {
    (kubelet.API_VERSION, kubelet.KIND): KubeletConfiguration,
    (agent.API_VERSION, agent.KIND): NodeAgentConfiguration,
}
PathKey = tuple[str | int, ...]


class ConfigProblem(Exception):
    """The configuration cannot be used: one line per mistake, `file:line: field: reason`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document as it is written, without nulls. `places`: field -> `file:line`, or what else it comes from."""

    kind: type[msgspec.Struct]
    plain: dict[str, Any]
    places: dict[PathKey, str]


@dataclass(slots=True, kw_only=True)
class Findings:
    """What is wrong so far, and, where the reading is lenient, what is only warned of."""

    lenient: bool = False
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def problem(self, places: Mapping[PathKey, str], where: PathKey, reason: str) -> None:
        self.problems.append(_told(places, where, reason))

    def trifle(self, places: Mapping[PathKey, str], where: PathKey, reason: str) -> None:
        (self.remarks if self.lenient else self.problems).append(_told(places, where, reason))


def _told(places: Mapping[PathKey, str], where: PathKey, reason: str) -> str:
    place = next(places[where[:end]] for end in range(len(where), -1, -1) if where[:end] in places)
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    return f"{place}: {name + ': ' if name else ''}{reason}"


def read(path: Path, findings: Findings) -> list[Document]:
    """The documents of a file, at least one; fewer, with problems noted, where some cannot be. Raises ConfigProblem."""
    documents: list[Document] = []
    nodes = _nodes(path)
    for node in nodes:
        begin: dict[PathKey, str] = {(): f"{path}:{node.start_mark.line + 1}"}
        try:
            document = _document(node, path, findings)
        except yaml.MarkedYAMLError as error:  # a key or a tag that plain data does not have
            begin[()] = f"{path}:{_line_of(error)}"
            findings.problem(begin, (), f"not YAML: {error.problem}")
            continue
        except RecursionError:
            findings.problem(begin, (), "nested too deeply")
            continue
        except ValueError as error:  # a date in the thirteenth month, `!!int x`
            findings.problem(begin, (), f"not YAML: {error}")
            continue
        if document is None:
            continue
        if any(other.kind is document.kind for other in documents):
            findings.problem(begin, (), f"a second {document.kind.__name__} document")
        documents.append(document)
    if not nodes:
        findings.problems.append(f"{path}:1: the file is empty")
    return documents


def converted(document: Document, folder: Path, findings: Findings) -> msgspec.Struct | None:
    """The document as its type, zeroes filled and paths absolute; None, with problems noted, when it cannot be."""
    plain, places = document.plain, document.places
    try:
        made = msgspec.convert(plain, document.kind)
    except msgspec.ValidationError as error:
        reason, where = _parsed(error)
        findings.problem(places, _with_keys(where, plain, document.kind), reason)
        return None
    fill_zeroes(made)
    for where, reason in problems_of(made, plain):
        findings.problem(places, where, reason)
    resolve_document(made, folder)
    return made


def _nodes(path: Path) -> list[yaml.Node]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigProblem([f"{path}:1: cannot be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigProblem([f"{path}:1: cannot be read: {error}"]) from error
    try:
        bounded_yaml.check(text)
    except bounded_yaml.BeyondLimits as error:
        raise ConfigProblem([f"{path}:{error.line or 1}: {error.problem}"]) from error
    try:
        return [node for node in yaml.compose_all(text, Loader=yaml.CSafeLoader) if node is not None]
    except yaml.MarkedYAMLError as error:
        raise ConfigProblem([f"{path}:{_line_of(error)}: not YAML: {error.problem}"]) from error
    except yaml.YAMLError as error:  # characters that YAML forbids
        raise ConfigProblem([f"{path}:1: not YAML: {str(error).partition(chr(10))[0]}"]) from error
    except RecursionError:
        raise ConfigProblem([f"{path}:1: nested too deeply"]) from None


def _line_of(error: yaml.MarkedYAMLError) -> int:
    return error.problem_mark.line + 1 if error.problem_mark is not None else 1


def _document(node: yaml.Node, path: Path, findings: Findings) -> Document | None:
    """None, with problems noted, when it is none of the kinds that there are."""
    places: dict[PathKey, str] = {(): f"{path}:{node.start_mark.line + 1}"}
    if not isinstance(node, yaml.MappingNode):
        findings.problem(places, (), "not a mapping")
        return None
    before = len(findings.problems)
    _note_places(node, (), path, places, findings)
    plain = yaml.CSafeLoader("").construct_document(node)
    found = f"{plain.get('apiVersion', '')!r} {plain.get('kind', '')!r}"
    kind = next((kind for words, kind in KINDS.items() if found == f"{words[0]!r} {words[1]!r}"), None)
    if kind is None:
        wanted = " or ".join(f"{api_version} {name}" for api_version, name in KINDS)
        findings.problem(places, (), f"apiVersion and kind are {found}, not {wanted}")
        return None
    for where in list(_unknown(plain, kind, ())):
        findings.trifle(places, where, "unknown field")
        _leave_out(plain, where)
    return Document(kind=kind, plain=plain, places=places) if len(findings.problems) == before else None


def _note_places(node: yaml.Node, where: PathKey, path: Path, places: dict[PathKey, str], findings: Findings) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*where, str(key.value))
            again = here in places
            places[here] = f"{path}:{key.start_mark.line + 1}"
            if again:
                findings.trifle(places, here, "given twice")
            _note_places(value, here, path, places, findings)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            places[(*where, index)] = f"{path}:{value.start_mark.line + 1}"
            _note_places(value, (*where, index), path, places, findings)


def _leave_out(plain: Any, where: PathKey) -> None:
    for step in where[:-1]:
        plain = plain[step]
    for key in [key for key in plain if str(key) == where[-1]]:
        del plain[key]


def _unknown(value: Any, kind: Any, where: PathKey) -> Iterator[PathKey]:
    """The paths of all fields that `kind` does not have."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        for key, item in value.items() if isinstance(value, dict) else ():
            if key in hints:
                yield from _unknown(item, hints[key], (*where, key))
            else:
                yield (*where, str(key))
        return
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        for argument in arguments:
            yield from _unknown(value, argument, where)
    elif origin is list and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, arguments[0], (*where, index))
    elif origin is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from _unknown(item, arguments[1], (*where, str(key)))


_SOME_KEY = "..."  # how msgspec writes a mapping's key: it does not name it
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def _parsed(error: msgspec.ValidationError) -> tuple[str, PathKey]:
    """Reason and place of an error such as `Expected `int`, got `str` - at `$.a.b[0][...]` `."""
    reason, _, at = str(error).partition(" - at `")
    return reason, tuple(
        name or (int(index) if index.isdigit() else index)
        for name, index in _STEP.findall(at.rpartition("$")[2].rstrip("`"))
    )


def _with_keys(where: PathKey, plain: Any, kind: type[msgspec.Struct]) -> PathKey:
    """The place with the keys that msgspec left out: those whose entry alone is wrong in the same way."""
    for depth, part in enumerate(where):
        if part != _SOME_KEY:
            continue
        mapping = plain
        for step in where[:depth]:
            mapping = mapping[step]
        for key, item in list(mapping.items()):
            others = dict(mapping)
            mapping.clear()
            mapping[key] = item
            try:
                msgspec.convert(plain, kind)
            except msgspec.ValidationError as error:
                if _parsed(error)[1] == where:
                    return _with_keys((*where[:depth], key, *where[depth + 1 :]), plain, kind)
            finally:
                mapping.clear()
                mapping.update(others)
        return where[:depth]
    return where


def without_nulls(value: Any) -> Any:
    """The same without fields that are null: not set."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
