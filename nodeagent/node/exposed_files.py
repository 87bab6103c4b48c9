"""Files of the node that somebody else than root may change, or read although they hold secrets (CIS 4.1)."""

import os
import shlex
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from nodeagent.config import Config

UNIT_FILES = (
    Path("/etc/systemd/system/nodeagent.service"),
    Path("/lib/systemd/system/nodeagent.service"),
)
_NO_SECRETS = ("the unit file", "the configuration", "the client CA file")  # 0600 all the same, says CIS 4.1
_PRIVATE, _PUBLIC = 0o600, 0o644
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """`mode`: at most these bits. `what`: as an operator calls it. `secret`: whoever reads it has something."""

    what: str
    path: Path
    mode: int = _PRIVATE
    secret: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """`command` fixes it; `problem` says what is wrong. Not `grave`: others may read it, and it is no secret."""

    what: str
    path: Path
    problem: str
    command: str
    grave: bool = True

    @override
    def __str__(self) -> str:
        return f"{self.what} {self.path}: {self.problem} ({self.command})"


def watched(config: Config, unit_files: Iterable[Path] = UNIT_FILES) -> list[Watched]:
    """All such files of a node, whether they exist or not. Certificates are public, and nobody's to change."""
    options, kubelet, agent = config.options, config.kubelet, config.agent
    given: list[tuple[str, Path | str | None, int]] = [
        *(("the unit file", path, _PRIVATE) for path in unit_files),
        ("the configuration", options.config_file, _PRIVATE),
        ("the kubeconfig", options.kubeconfig, _PRIVATE),
        ("the client CA file", kubelet.authentication.x509.clientCAFile, _PRIVATE),
        ("tlsPrivateKeyFile", kubelet.tlsPrivateKeyFile, _PRIVATE),
        ("tlsCertFile", kubelet.tlsCertFile, _PUBLIC),
        ("the serving key", options.root_dir / "pki" / "kubelet.key", _PRIVATE),
        ("the serving certificate", options.root_dir / "pki" / "kubelet.crt", _PUBLIC),
        ("the registries' logins", options.root_dir / "config.json", _PRIVATE),
        ("the credential providers", options.image_credential_provider_config, _PRIVATE),
        ("the credential providers", agent.imageCredentialProviderConfig, _PRIVATE),
        ("staticPodPath", kubelet.staticPodPath, 0o755),
        ("the CNI configuration", agent.cni.confDir, 0o755),
        *((f"the program of runtime {name}", each.path, 0o755) for name, each in agent.runtimes.items()),
    ]
    if options.standalone:
        given += [
            ("the kubeconfig", options.state_dir / "node.kubeconfig", _PRIVATE),
            ("the kubeconfig", options.state_dir / "admin.kubeconfig", _PRIVATE),
            ("the embedded API's store", options.state_dir / "state.db", _PRIVATE),
            *(("the embedded API's keys", path, _PRIVATE) for path in sorted((options.state_dir / "pki").glob("*"))),
        ]
    return [
        Watched(what=what, path=Path(path), mode=mode, secret=what not in _NO_SECRETS)
        for what, path, mode in given
        if path
    ]


def exposed(files: Iterable[Watched], owner: int = 0) -> Iterator[Exposed]:
    """What is wrong with those that exist: their owner, their mode, and the folders by which they could be replaced."""
    seen: set[Path] = set()
    for file in files:
        try:
            path = Path(os.path.realpath(file.path, strict=True))  # Path.resolve takes a circle of links for a bug
            found = path.stat()
        except OSError:
            continue
        if path in seen:
            continue
        seen.add(path)
        name = shlex.quote(str(path))
        if found.st_uid not in (0, owner):
            problem, command = f"belongs to user {found.st_uid}", f"chown root:root {name}"
            yield Exposed(what=file.what, path=path, problem=problem, command=command)
        mode = stat.S_IMODE(found.st_mode)
        if mode & ~(file.mode | stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX) & 0o7777 & ~0o100:
            wanted = f"{file.mode:o}"
            problem = f"has mode {mode:04o}, {wanted} or less is safe"
            grave = file.secret or bool(mode & _OTHERS_WRITE)
            yield Exposed(what=file.what, path=path, problem=problem, command=f"chmod {wanted} {name}", grave=grave)
        yield from _folders(file.what, path, owner, seen)


def _folders(what: str, path: Path, owner: int, seen: set[Path]) -> Iterator[Exposed]:
    """A folder that others may write is as good as the file; with the sticky bit only its own owner replaces a file."""
    for folder in path.parents:
        if folder in seen:
            return
        seen.add(folder)
        found = folder.stat()
        name = shlex.quote(str(folder))
        if found.st_uid not in (0, owner):
            problem, command = f"its folder belongs to user {found.st_uid}", f"chown root:root {name}"
            yield Exposed(what=what, path=folder, problem=problem, command=command)
        if found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
            problem = f"its folder has mode {stat.S_IMODE(found.st_mode):04o}, which others may write"
            yield Exposed(what=what, path=folder, problem=problem, command=f"chmod go-w {name}")
