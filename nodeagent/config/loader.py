"""Read the configuration file: one or both documents, every mistake told with its file, line, field and reason."""

import dataclasses
import re
import socket
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from nodeagent.config import agent, kubelet, runtimes
from nodeagent.config.acted_on import ACTED_ON
from nodeagent.config.agent import NodeAgentConfiguration
from nodeagent.config.check import problems_of
from nodeagent.config.defaults import fill_zeroes
from nodeagent.config.ignored_fields import IgnoredSetting, ignored_settings
from nodeagent.config.kubelet import KubeletConfiguration
from nodeagent.config.paths import resolve_document, resolve_options
from nodeagent.config.values import Duration
from nodeagent.tls_policy import TLSPolicy
from runtimes.kube import bounded_yaml

_DOCUMENTS: dict[tuple[str, str], type[msgspec.Struct]] = {
    (kubelet.API_VERSION, kubelet.KIND): KubeletConfiguration,
    (agent.API_VERSION, agent.KIND): NodeAgentConfiguration,
}
_PathKey = tuple[str | int, ...]


class ConfigProblem(Exception):
    """The configuration cannot be used: one line per mistake, `file:line: field: reason`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line alone decides. Every path can be moved, so that several agents run side by side."""

    config_file: Path | None = None
    kubeconfig: Path | None = None
    standalone: bool = False
    root_dir: Path = Path("/var/lib/kubelet")
    state_dir: Path = Path("/var/lib/nodeagent")
    run_dir: Path = Path("/run/nodeagent")
    container_logs_dir: Path = Path("/var/log/containers")
    node_name: str = ""
    node_ip: str = ""
    node_labels: tuple[tuple[str, str], ...] = ()
    image_credential_provider_config: Path | None = None
    image_credential_provider_bin_dir: Path | None = None
    log_level: str = ""  # empty: as the file says
    log_format: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings; every path is absolute. `ignored_settings`: fields of the file that are accepted and have no effect."""

    options: Options
    kubelet: KubeletConfiguration
    agent: NodeAgentConfiguration
    ignored_settings: tuple[IgnoredSetting, ...] = ()

    @property
    def node_name(self) -> str:
        return (self.options.node_name or socket.gethostname()).strip().lower()

    @property
    def pod_logs_dir(self) -> Path:
        return Path(self.kubelet.podLogsDir)

    @property
    def tls_policy(self) -> TLSPolicy:
        return TLSPolicy(
            min_version=self.kubelet.tlsMinVersion,
            cipher_suites=tuple(self.kubelet.tlsCipherSuites),
            curves=tuple(self.kubelet.tlsCurvePreferences),
        )


def load(options: Options) -> Config:
    """Read the file that the options name, if any, and fill in what nobody set. Raises ConfigProblem."""
    documents: dict[type[msgspec.Struct], msgspec.Struct] = {}
    given: dict[str, Any] = {}
    options = resolve_options(options)
    if options.config_file is not None:
        documents, given = _read(options.config_file)
    kubelet_config = documents.get(KubeletConfiguration, KubeletConfiguration())
    agent_config = documents.get(NodeAgentConfiguration, NodeAgentConfiguration())
    assert isinstance(kubelet_config, KubeletConfiguration)
    assert isinstance(agent_config, NodeAgentConfiguration)
    if options.standalone and given.get("podPidsLimit") is None:
        kubelet_config.podPidsLimit = kubelet.STANDALONE_POD_PIDS
    if not agent_config.runtimes:
        agent_config.runtimes = runtimes.detect()
    if not agent_config.defaultRuntime and agent_config.runtimes:
        known = agent_config.runtimes
        agent_config.defaultRuntime = next((name for name in ("runc", "crun") if name in known), next(iter(known)))
    return Config(
        options=options,
        kubelet=kubelet_config,
        agent=agent_config,
        ignored_settings=ignored_settings(given, ACTED_ON),
    )


@dataclass(slots=True)
class _File:
    """One file under examination: where each field stands, and what is wrong so far."""

    path: Path
    lines: dict[_PathKey, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def problem(self, where: _PathKey, reason: str) -> None:
        line = next((self.lines[where[:end]] for end in range(len(where), -1, -1) if where[:end] in self.lines), 1)
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
        self.problems.append(f"{self.path}:{line}: {name + ': ' if name else ''}{reason}")


def _read(path: Path) -> tuple[dict[type[msgspec.Struct], msgspec.Struct], dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigProblem([f"{path}:1: cannot be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigProblem([f"{path}:1: cannot be read: {error}"]) from error
    file = _File(path=path)
    documents: dict[type[msgspec.Struct], msgspec.Struct] = {}
    given: dict[str, Any] = {}
    try:
        bounded_yaml.check(text)
    except bounded_yaml.BeyondLimits as error:
        raise ConfigProblem([f"{path}:{error.line or 1}: {error.problem}"]) from error
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.CSafeLoader) if node is not None]
    except yaml.MarkedYAMLError as error:
        raise ConfigProblem([f"{path}:{_line_of(error)}: not YAML: {error.problem}"]) from error
    except yaml.YAMLError as error:  # characters that YAML forbids
        raise ConfigProblem([f"{path}:1: not YAML: {str(error).partition(chr(10))[0]}"]) from error
    except RecursionError:
        raise ConfigProblem([f"{path}:1: nested too deeply"]) from None
    for node in nodes:
        try:
            document = _document(node, file)
        except yaml.MarkedYAMLError as error:  # a key or a tag that plain data does not have
            file.lines = {(): _line_of(error)}
            file.problem((), f"not YAML: {error.problem}")
            continue
        except RecursionError:
            file.problem((), "nested too deeply")
            continue
        except ValueError as error:  # a date in the thirteenth month, `!!int x`
            file.lines = {(): node.start_mark.line + 1}
            file.problem((), f"not YAML: {error}")
            continue
        if document is None:
            continue
        if type(document) in documents:
            file.lines = {(): node.start_mark.line + 1}
            file.problem((), f"a second {type(document).__name__} document")
        documents[type(document)] = document
        if isinstance(document, KubeletConfiguration):
            given = yaml.CSafeLoader("").construct_document(node)
    if not nodes:
        file.problem((), "the file is empty")
    if file.problems:
        raise ConfigProblem(file.problems)
    return documents, given


def _line_of(error: yaml.MarkedYAMLError) -> int:
    return error.problem_mark.line + 1 if error.problem_mark is not None else 1


def _document(node: yaml.Node, file: _File) -> msgspec.Struct | None:
    """Check and convert one document; None, with problems noted, when it cannot be."""
    file.lines = {(): node.start_mark.line + 1}
    if not isinstance(node, yaml.MappingNode):
        file.problem((), "not a mapping")
        return None
    before = len(file.problems)
    _note_lines(node, (), file)
    plain = yaml.CSafeLoader("").construct_document(node)
    found = f"{plain.get('apiVersion', '')!r} {plain.get('kind', '')!r}"
    kind = next((kind for words, kind in _DOCUMENTS.items() if found == f"{words[0]!r} {words[1]!r}"), None)
    if kind is None:
        wanted = " or ".join(f"{api_version} {name}" for api_version, name in _DOCUMENTS)
        file.problem((), f"apiVersion and kind are {found}, not {wanted}")
        return None
    for where in _unknown(plain, kind, ()):
        file.problem(where, "unknown field")
    if len(file.problems) > before:
        return None
    plain = _without_nulls(plain)
    try:
        document = msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        reason, where = _parsed(error)
        file.problem(_with_keys(where, plain, kind), reason)
        return None
    fill_zeroes(document)
    for where, reason in problems_of(document, plain):
        file.problem(where, reason)
    resolve_document(document, file.path.parent)
    return document


def _note_lines(node: yaml.Node, where: _PathKey, file: _File) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*where, str(key.value))
            if here in file.lines:
                file.lines[here] = key.start_mark.line + 1
                file.problem(here, "given twice")
            file.lines[here] = key.start_mark.line + 1
            _note_lines(value, here, file)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            file.lines[(*where, index)] = value.start_mark.line + 1
            _note_lines(value, (*where, index), file)


def _unknown(value: Any, kind: Any, where: _PathKey) -> Iterator[_PathKey]:
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


def _parsed(error: msgspec.ValidationError) -> tuple[str, _PathKey]:
    """Reason and place of an error such as `Expected `int`, got `str` - at `$.a.b[0][...]` `."""
    reason, _, at = str(error).partition(" - at `")
    return reason, tuple(
        name or (int(index) if index.isdigit() else index)
        for name, index in _STEP.findall(at.rpartition("$")[2].rstrip("`"))
    )


def _with_keys(where: _PathKey, plain: Any, kind: type[msgspec.Struct]) -> _PathKey:
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


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def replace_options(config: Config, **changes: Any) -> Config:
    """The same configuration with other options."""
    return dataclasses.replace(config, options=dataclasses.replace(config.options, **changes))


__all__ = ["Config", "ConfigProblem", "Duration", "Options", "load", "replace_options"]
