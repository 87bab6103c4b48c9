"""Which driver is tested, as somebody names it on a command line."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from csi.testing.implementation import Implementation
from csi.testing.restart_command import RestartCommand
from runtimes.kube import bounded_yaml, quantity

VOLUME_SIZE: Final = "10Gi"
EXPAND_BY: Final = "1Gi"
PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The options of csi/testing/plugin.py, as they are written: pairs are KEY=VALUE, sizes quantities.

    `secrets`: YAML or JSON, call -> its secrets. `exceptions`: TOML. `restart`: a command line; `log`: what the driver writes to.
    """

    endpoint: str
    controller_endpoint: str = ""
    node_only: bool = False
    volume_id: str = ""
    volume_context: Sequence[str] = ()
    parameters: Sequence[str] = ()
    mutable_parameters: Sequence[str] = ()
    secrets: Path | None = None
    volume_size: str = VOLUME_SIZE
    expand_by: str = EXPAND_BY
    fs_type: str = ""
    workdir: Path | None = None
    second_node_id: str = ""
    patience: float = PATIENCE_SECONDS
    restart: str = ""
    log: Path | None = None
    exceptions: Path | None = None


def implementation(chosen: Chosen) -> Implementation:
    """Reads files. Raises ValueError, one line, without what is in the file of secrets."""
    try:
        return Implementation(
            endpoint=chosen.endpoint,
            controller_endpoint=chosen.controller_endpoint,
            node_only=chosen.node_only,
            volume_id=chosen.volume_id,
            volume_context=_pairs(chosen.volume_context),
            parameters=_pairs(chosen.parameters),
            mutable_parameters=_pairs(chosen.mutable_parameters),
            secrets=_secrets(chosen.secrets) if chosen.secrets else {},
            volume_bytes=_bytes("volume size", chosen.volume_size),
            expand_bytes=_bytes("expand by", chosen.expand_by),
            fs_type=chosen.fs_type,
            directory=chosen.workdir,
            second_node_id=chosen.second_node_id,
            patience_seconds=chosen.patience,
            log=chosen.log,
            restart=RestartCommand(chosen.restart, chosen.endpoint) if chosen.restart else None,
            exceptions=tomllib.loads(chosen.exceptions.read_text()) if chosen.exceptions else {},
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"the driver to test: {' '.join(str(error).split())}") from error


def _bytes(what: str, text: str) -> int:
    """Raises ValueError."""
    try:
        return int(quantity.parse(text))
    except ValueError as error:
        raise ValueError(f"{what} {text!r}: {error}") from error


def _pairs(texts: Sequence[str]) -> Mapping[str, str]:
    """Raises ValueError."""
    if wrong := [text for text in texts if "=" not in text]:
        raise ValueError(f"{wrong[0]!r} is no KEY=VALUE")
    return dict(text.split("=", 1) for text in texts)


def _secrets(file: Path) -> Mapping[str, Mapping[str, str]]:
    """Raises ValueError, without what is in the file; OSError."""
    found = bounded_yaml.read(file.read_bytes()).value
    shape = isinstance(found, dict) and all(
        isinstance(entries, dict) and all(isinstance(text, str) for pair in entries.items() for text in pair)
        for entries in found.values()
    )
    if not shape:
        raise ValueError(f"{file}: it is to be a map of calls to maps of texts")
    secrets: Mapping[str, Mapping[str, str]] = found
    return secrets
