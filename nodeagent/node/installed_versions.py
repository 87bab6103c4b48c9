"""Which versions of runtimes and image tools this machine has; those of packages by their package: cures are ported back."""

import asyncio
import contextlib
import gzip
import re
import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path

from nodeagent.config import Config
from nodeagent.node.advisories import ADVISORIES, Installed
from runtimes.linux import process

_ASK_SECONDS = 20.0
_VERSION = re.compile(r"\d{8}(?:\.\d+)?|\d+\.\d+[\w.~+-]*")
_CVE = re.compile(rb"CVE-\d{4}-\d+")
_MOST_CHANGELOG_BYTES = 4 * 2**20
_DOCS = Path("/usr/share/doc")


async def installed_programs(config: Config, cri_versions: Iterable[tuple[str, str]] = ()) -> list[Installed]:
    """All that the table of advisories knows. `cri_versions`: what runtimes behind sockets have said they are."""
    runtimes = [each.path for each in config.agent.runtimes.values() if each.type == "oci"]
    tools = ("skopeo",) if runtimes else ()
    if any(name == "containerd" for name, _ in cri_versions):
        tools = (*tools, "runc")  # what its shims run, unless it is told otherwise
    paths = {Path(found).resolve() for name in (*runtimes, *tools) if (found := shutil.which(name))}
    known = sorted(path for path in paths if path.name in ADVISORIES)
    found = await asyncio.gather(*(_program(path) for path in known), *(_behind_socket(*it) for it in cri_versions))
    return [each for each in found if each is not None]


async def _program(path: Path) -> Installed | None:
    package, package_version = await _package(path)
    with contextlib.suppress(process.ProcessError):
        done = await process.run([str(path), "--version"], timeout_seconds=_ASK_SECONDS)
        said = done.stdout.decode(errors="replace")
        if version := _VERSION.search(said):
            cures = await asyncio.to_thread(_cures, package) if package else frozenset[str]()
            return Installed(
                program=path.name,
                version=version.group(),
                package_version=package_version,
                said=said,
                cures=cures,
            )
    return None


async def _behind_socket(name: str, version: str) -> Installed | None:
    """The server itself says its version; the package is that of the program on PATH, if it is of the same version."""
    program = name.lower()
    if program not in ADVISORIES or not (match := _VERSION.search(version)):
        return None
    path = shutil.which(program)
    same = await _program(Path(path).resolve()) if path else None
    if same is not None and same.version.removeprefix("v") == match.group():
        return same
    return Installed(program=program, version=match.group())


async def _package(path: Path) -> tuple[str, str]:
    """(name, version) of the Debian package that a program belongs to; empty where it belongs to none."""
    try:
        owner = await process.run(["dpkg-query", "--search", str(path)], timeout_seconds=_ASK_SECONDS)
        name = owner.stdout.decode().partition(":")[0].strip()
        if not owner.ok or not name:
            return "", ""
        shown = await process.run(
            ["dpkg-query", "--show", "--showformat=${Version}", name], timeout_seconds=_ASK_SECONDS
        )
    except process.ProcessError:  # no Debian
        return "", ""
    return (name, shown.stdout.decode().strip()) if shown.ok else ("", "")


def _cures(package: str, docs: Path = _DOCS) -> frozenset[str]:
    """The numbers that a package's changelog names. None where documentation is left out of the installation."""
    for name in ("changelog.Debian.gz", "changelog.gz"):
        try:
            with gzip.open(docs / package / name) as file:
                return frozenset(found.decode() for found in _CVE.findall(file.read(_MOST_CHANGELOG_BYTES)))
        except (OSError, EOFError, zlib.error):  # not there, or damaged
            continue
    return frozenset()
