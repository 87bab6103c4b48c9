"""Which versions of runtimes and image tools this machine has; those of packages by their package: cures are ported back."""

import asyncio
import contextlib
import gzip
import re
import shutil
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.config import Config
from nodeagent.node.advisories import ADVISORIES, Installed
from runtimes.linux import process

_ASK_SECONDS = 20.0
_VERSION = re.compile(r"\d{8}(?:\.\d+)?|\d+\.\d+[\w.~+-]*")
_CVE = re.compile(rb"CVE-\d{4}-\d+")
_MOST_CHANGELOG_BYTES = 4 * 2**20
_DOCS = Path("/usr/share/doc")


async def installed_programs(config: Config, cri_versions: Sequence[tuple[str, str]] = ()) -> list[Installed]:
    """All that the table of advisories knows. `cri_versions`: what runtimes behind sockets have said they are."""
    runtimes = [each.path for each in config.agent.runtimes.values() if each.type == "oci"]
    tools = ("skopeo",) if runtimes else ()
    if any(name == "containerd" for name, _ in cri_versions):
        tools = (*tools, "runc")  # what its shims run, unless it is told otherwise
    own = {Path(found).resolve() for name in (*runtimes, *tools) if (found := shutil.which(name))}
    paths = sorted(path for path in own if path.name in ADVISORIES)
    served = {name: Path(found).resolve() for name, _ in cri_versions if (found := _served_program(name))}
    packages = await _packages({*paths, *served.values()})
    found = await asyncio.gather(
        *(_program(path, packages.get(path)) for path in paths),
        *(_behind_socket(name, version, served.get(name), packages) for name, version in cri_versions),
    )
    return [each for each in found if each is not None]


@dataclass(frozen=True, slots=True)
class _Package:
    name: str
    version: str


async def _program(path: Path, package: _Package | None) -> Installed | None:
    with contextlib.suppress(process.ProcessError):
        done = await process.run([str(path), "--version"], timeout_seconds=_ASK_SECONDS)
        said = done.stdout.decode(errors="replace")
        if version := _VERSION.search(said):
            cures = await asyncio.to_thread(_cures, package.name) if package else frozenset[str]()
            return Installed(
                program=path.name,
                version=version.group(),
                package_version=package.version if package else "",
                said=said,
                cures=cures,
            )
    return None


def _served_program(name: str) -> str | None:
    return shutil.which(name.lower()) if name.lower() in ADVISORIES else None


async def _behind_socket(
    name: str, version: str, path: Path | None, packages: Mapping[Path, _Package]
) -> Installed | None:
    """The server itself says its version; the package is that of the program on PATH, if it is of the same version."""
    if name.lower() not in ADVISORIES or not (match := _VERSION.search(version)):
        return None
    same = await _program(path, packages.get(path)) if path else None
    if same is not None and same.version.removeprefix("v") == match.group():
        return same
    return Installed(program=name.lower(), version=match.group())


async def _packages(paths: Collection[Path]) -> dict[Path, _Package]:
    """The Debian packages that programs belong to; without those that belong to none. All are asked for at once: dpkg reads its
    whole database for each question."""
    if not paths:
        return {}
    try:
        owners = await process.run(["dpkg-query", "--search", *map(str, paths)], timeout_seconds=_ASK_SECONDS)
        names = dict(_owners(owners.stdout.decode(errors="replace")))
        if not names:
            return {}
        show = ["dpkg-query", "--show", "--showformat=${Package} ${Version}\n", *sorted(set(names.values()))]
        shown = await process.run(show, timeout_seconds=_ASK_SECONDS)
    except process.ProcessError:  # no Debian
        return {}
    versions = dict(line.split(" ", 1) for line in shown.stdout.decode().splitlines())
    return {path: _Package(name, versions[name]) for path, name in names.items() if name in versions}


def _owners(said: str) -> Iterator[tuple[Path, str]]:
    """Of lines such as `runc: /usr/sbin/runc`, or `libc6:amd64: /lib/ld.so`; those about diversions name no package."""
    for line in said.splitlines():
        packages, _, path = line.rpartition(": ")
        package = packages.split(",")[0].partition(":")[0]
        if package and " " not in package:
            yield Path(path), package


def _cures(package: str, docs: Path = _DOCS) -> frozenset[str]:
    """The numbers that a package's changelog names. None where documentation is left out of the installation."""
    for name in ("changelog.Debian.gz", "changelog.gz"):
        try:
            with gzip.open(docs / package / name) as file:
                return frozenset(found.decode() for found in _CVE.findall(file.read(_MOST_CHANGELOG_BYTES)))
        except (OSError, EOFError, zlib.error):  # not there, or damaged
            continue
    return frozenset()
