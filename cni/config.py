"""Network configurations: the files of a conf dir, and what they mean (CNI specification 1.1.0, section 1)."""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cni import version
from cni.errors import InvalidConfig, NoNetwork

log = logging.getLogger(__name__)

SUFFIXES = (".conf", ".conflist", ".json")
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginConfig:
    """One plugin of a chain: its object from the file, keys that we do not know included."""

    type: str
    raw: dict[str, Any]

    @property
    def capabilities(self) -> frozenset[str]:
        """The capabilities that the plugin asks values for."""
        declared = self.raw.get("capabilities") or {}
        return frozenset(name for name, wanted in declared.items() if wanted is True)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """A chain of plugins under one name. `source` is the whole of it in one document, for DEL after the files have changed."""

    name: str
    cni_version: str
    plugins: tuple[PluginConfig, ...]
    disable_check: bool = False
    disable_gc: bool = False
    source: bytes = field(default=b"", repr=False)
    path: Path | None = None

    def supports(self, first: str) -> bool:
        """Whether the configuration's version is `first`, a known one (cni/version.py), or later."""
        return version.at_least(self.cni_version, first)


def is_valid_name(name: str) -> bool:
    """The rule for network names and container ids: alphanumeric first, then letters, digits, `_`, `.`, `-`."""
    return bool(name) and name[0].isalnum() and name.isascii() and _NAME_CHARACTERS.issuperset(name)


def load_default(conf_dir: Path) -> NetworkConfig:
    """The network of this node: the first usable file of the folder, in the order of the file names.

    A broken file is passed over with a log line; raises NoNetwork, with the reasons, when none is usable.
    """
    problems: list[InvalidConfig] = []
    for path in config_files(conf_dir):
        try:
            return load(path)
        except InvalidConfig as error:
            log.warning("network configuration passed over: %s", error)
            problems.append(error)
    raise NoNetwork(str(conf_dir), problems)


def config_files(conf_dir: Path) -> list[Path]:
    """The configuration files of a folder in lexical order; a missing folder has none."""
    try:
        return sorted(path for path in conf_dir.iterdir() if path.suffix in SUFFIXES and path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []


def load(path: Path) -> NetworkConfig:
    """Read one file. Raises InvalidConfig."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidConfig(f"{path}: {error.strerror}") from error
    return parse(data, path)


def parse(data: bytes, path: Path | None = None) -> NetworkConfig:
    """Parse a network list, or a single plugin's configuration (a list of one). Raises InvalidConfig."""
    where = str(path) if path is not None else "network configuration"
    document = _json(data, where)
    if not isinstance(document, dict):
        raise InvalidConfig(f"{where}: not a JSON object")
    name = document.get("name", "")
    if not isinstance(name, str) or not is_valid_name(name):
        raise InvalidConfig(f"{where}: name: {name!r} is not a network name")
    single = "plugins" not in document and "type" in document
    plugins = [document] if single else _inlined_plugins(document, where)
    if not single and path is not None and not _flag(document, "loadOnlyInlinedPlugins", where):
        extra = _folder_plugins(path.parent / name)
        if extra:
            plugins += extra
            data = json.dumps({**document, "plugins": plugins, "loadOnlyInlinedPlugins": True}).encode()
    if not plugins:
        raise InvalidConfig(f"{where}: plugins: no plugin")
    return NetworkConfig(
        name=name,
        cni_version=_select_version(document, where),
        plugins=tuple(_plugin(raw, f"{where}: plugins[{index}]") for index, raw in enumerate(plugins)),
        disable_check=_flag(document, "disableCheck", where),
        disable_gc=_flag(document, "disableGC", where),
        source=data,
        path=path,
    )


def _json(data: bytes, where: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"{where}: not JSON: {error}") from error


def _inlined_plugins(document: dict[str, Any], where: str) -> list[Any]:
    plugins = document.get("plugins", [])
    if not isinstance(plugins, list):
        raise InvalidConfig(f"{where}: plugins: not a list")
    return list(plugins)


def _folder_plugins(folder: Path) -> list[Any]:
    """The plugins that a network's folder beside its file adds to the chain, in the order of the file names."""
    plugins: list[Any] = []
    for path in sorted(folder.glob("*.conf")):
        try:
            plugins.append(_json(path.read_bytes(), str(path)))
        except OSError as error:
            raise InvalidConfig(f"{path}: {error.strerror}") from error
    return plugins


def _plugin(raw: Any, where: str) -> PluginConfig:
    kind = raw.get("type") if isinstance(raw, dict) else None
    if not isinstance(kind, str) or not kind:
        raise InvalidConfig(f"{where}: type: missing")
    if "/" in kind:
        raise InvalidConfig(f"{where}: type: {kind!r} contains a path separator")
    if not isinstance(raw.get("capabilities") or {}, dict):
        raise InvalidConfig(f"{where}: capabilities: not an object")
    return PluginConfig(type=kind, raw=raw)


def _select_version(document: dict[str, Any], where: str) -> str:
    """The highest version that the file offers and we know."""
    more = document.get("cniVersions") or []
    if not isinstance(more, list):
        raise InvalidConfig(f"{where}: cniVersions: not a list")
    offered: list[Any] = [document.get("cniVersion") or version.WHEN_MISSING, *more]
    highest = version.highest_known(offered)
    if highest is None:
        raise InvalidConfig(f"{where}: cniVersion: {offered[0]!r} is not supported")
    return highest


def _flag(document: dict[str, Any], key: str, where: str) -> bool:
    value = document.get(key, False)
    if value is True or value == "true":
        return True
    if value is False or value == "false":
        return False
    raise InvalidConfig(f"{where}: {key}: {value!r} is neither true nor false")
