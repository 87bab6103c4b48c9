"""The agent's own folders: where what is, and that each is one agent's."""

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from nodeagent.config import Options
from nodeagent.errors import AgentStartError


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """`root`: pods. `state`: what survives a reboot. `run`: what need not. `pki` None: in `root`."""

    root: Path
    state: Path
    run: Path
    pki: Path | None = None

    @classmethod
    def of(cls, options: Options) -> "Folders":
        return cls(root=options.root_dir, state=options.state_dir, run=options.run_dir, pki=options.cert_dir)

    @property
    def images(self) -> Path:
        return images_below(self.state)

    @property
    def runtimes(self) -> Path:
        return self.state / "runtimes"

    @property
    def certificates(self) -> Path:
        return self.pki or self.root / "pki"

    @property
    def seccomp(self) -> Path:
        return self.root / "seccomp"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    def runtime_state(self, handler: str) -> Path:
        return self.runtimes / handler

    def runtime_run(self, handler: str) -> Path:
        return self.run / handler


def images_below(state_dir: Path) -> Path:
    """The store that all OCI handlers of one state dir share."""
    return state_dir / "images"


def make(folders: Folders) -> None:
    """Raises StartError."""
    try:
        folders.root.mkdir(mode=0o750, parents=True, exist_ok=True)
        for directory in (folders.state, folders.run):
            # passed, but not looked into, by users of pods with users of their own: their root filesystems are below
            directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            directory.chmod(0o711)
    except OSError as error:
        raise AgentStartError(f"cannot use {error.filename}: {error.strerror}") from error


def own(folders: Folders, stack: contextlib.AsyncExitStack) -> None:
    """Each of the folders is one agent's, for as long as `stack` lasts: two would take each other's pods for orphans, and
    the monitors of each other's containers for nobody's. Raises StartError.

    A lock on the folder itself, so that it can be had where nothing can be written. One folder may serve as several.
    """
    owned: set[tuple[int, int]] = set()
    for option, folder in (
        ("--root-dir", folders.root),
        ("--state-dir", folders.state),
        ("--run-dir", folders.run),
    ):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, fd)
        found = os.fstat(fd)
        if (found.st_dev, found.st_ino) in owned:
            continue
        owned.add((found.st_dev, found.st_ino))
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AgentStartError(f"another agent runs with {folder}: give this one a {option} of its own") from None
        except OSError as error:
            raise AgentStartError(f"cannot lock {folder}: {error.strerror}") from error
