"""`nodeagent cni test`: which network, whether its plugins are any, and the options of `cni.testing.plugin` that say so."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cni.testing.chosen import Chosen, implementation
from cni.testing.implementation import parts
from cni.testing.ready_made import program_of, versions_of
from nodeagent.testers.command import Choice, Subject
from nodeagent.testers.command import run as carry_out
from nodeagent.testers.needs import Unusable
from nodeagent.testers.suites import CNI

BIN_DIRS: Final = (Path("/opt/cni/bin"), Path("/usr/lib/cni"), Path("/usr/libexec/cni"))


def options_of(network: Chosen, prefix: str) -> list[str]:
    """As they are given to a command line. `prefix`: of the options' names."""
    given: list[tuple[str, object]] = [
        ("conf", network.conf),
        ("conf-dir", network.conf_dir),
        ("plugin", network.plugin),
        *(("bin-dir", folder) for folder in network.bin_dirs),
        ("exceptions", network.exceptions),
        *(("known-flaws", name) for name in network.known_flaws),
    ]
    return [f"--{prefix}{name}={value}" for name, value in given if value]


def run(network: Chosen, choice: Choice) -> int:
    """`network.bin_dirs` empty: those of `BIN_DIRS` that are there. The exit status. Raises Unusable, ValueError."""
    bin_dirs = network.bin_dirs or tuple(folder for folder in BIN_DIRS if folder.is_dir())
    return carry_out(CNI, choice, lambda: _looked_at(replace(network, bin_dirs=bin_dirs)))


def _looked_at(network: Chosen) -> Subject:
    if sum(map(bool, (network.conf, network.conf_dir, network.plugin))) != 1:
        raise Unusable("name the network to test, by one of --conf FILE, --conf-dir FOLDER and --plugin NAME")
    if not network.bin_dirs:
        raise Unusable(f"no plugins in {', '.join(map(str, BIN_DIRS))}: --bin-dir FOLDER")
    document = implementation(network).document
    types = list(_types(document))
    _must_be_plugins(types, network.bin_dirs)
    return Subject(
        name=f"{document.get('name')} ({', '.join(types)}; version {document.get('cniVersion', 'none')})",
        again=shlex.join(["nodeagent", "cni", "test", *options_of(network, "")]),
        options=lambda folder: options_of(_as_read(network, document, folder), "cni-"),
    )


def _as_read(network: Chosen, document: Mapping[str, Any], folder: Path) -> Chosen:
    """The same by a file of the run's own: what was looked at is what is tested, also of what can be read only once."""
    file = folder / ("network.conflist" if "plugins" in document else "network.conf")
    file.write_text(json.dumps(document))
    return replace(network, conf=file, conf_dir=None, plugin="")


def _types(document: Mapping[str, Any]) -> list[str]:
    """Of the plugins in the chain, each with who gives its addresses."""
    found = []
    for part in parts(document):
        ipam = part.get("ipam")
        found += [str(part.get("type")), *([str(ipam["type"])] if isinstance(ipam, dict) and ipam.get("type") else [])]
    return list(dict.fromkeys(found))


def _must_be_plugins(types: Sequence[str], bin_dirs: Sequence[Path]) -> None:
    """Raises ValueError."""
    for kind in types:
        program = program_of(kind, bin_dirs)
        if not os.access(program, os.X_OK):
            raise ValueError(f"{program} is not executable")
        versions_of(program)
