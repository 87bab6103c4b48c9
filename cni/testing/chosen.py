"""Which network is tested, as somebody names it: a file, a folder as on a node, or just a plugin."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cni import config as configs
from cni.errors import CNIError
from cni.testing.flaws import RELEASES, Flaw
from cni.testing.implementation import Implementation
from cni.testing.ready_made import network_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One of `conf`, `conf_dir` and `plugin`. `exceptions`: TOML; `known_flaws`: names of releases (cni/testing/flaws.py)."""

    conf: Path | None = None
    conf_dir: Path | None = None
    plugin: str = ""
    bin_dirs: tuple[Path, ...] = ()
    exceptions: Path | None = None
    known_flaws: tuple[str, ...] = ()


def implementation(chosen: Chosen) -> Implementation:
    """Reads files, and asks the plugin of a ready-made network for its versions. Raises ValueError, one line."""
    try:
        document = _document(chosen)
        exceptions: dict[str, Any] = tomllib.loads(chosen.exceptions.read_text()) if chosen.exceptions else {}
        return Implementation(
            name=str(document.get("name")),
            document=document,
            bin_dirs=tuple(path.resolve() for path in chosen.bin_dirs),
            exceptions=exceptions,
            flaws=_flaws_of(chosen.known_flaws),
        )
    except (OSError, ValueError, CNIError) as error:
        raise ValueError(f"the network to test: {' '.join(str(error).split())}") from error


def _document(chosen: Chosen) -> dict[str, Any]:
    if chosen.plugin:
        return network_of(chosen.plugin, chosen.bin_dirs)
    if chosen.conf is not None:
        network = configs.load(chosen.conf)
    else:
        assert chosen.conf_dir is not None
        network = configs.load_default(chosen.conf_dir)
    document: dict[str, Any] = json.loads(network.source)
    return document


def _flaws_of(releases: Sequence[str]) -> tuple[Flaw, ...]:
    if unknown := [name for name in releases if name not in RELEASES]:
        raise ValueError(f"known flaws: {unknown[0]} is none of {', '.join(RELEASES)}")
    return tuple(flaw for name in releases for flaw in RELEASES[name])
