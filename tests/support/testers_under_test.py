"""`nodeagent cni test` and `nodeagent csi test` as a user runs them: to their end, and interrupted."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import psutil

PLUGINS: Final = Path("/usr/lib/cni")
REPO: Final = Path(__file__).resolve().parents[2]
_SECONDS: Final = 100
_ENVIRONMENT: Final = {key: value for key, value in os.environ.items() if key != "TMPDIR"} | {"PYTHONPATH": str(REPO)}


def nodeagent(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "nodeagent", *arguments],
        cwd="/",
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


class Interrupted:
    """A run that gets SIGINT when its first check has ended, so that it is in the middle of others.

    `status`, `stdout`: how it ended, and what it said.
    """

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nodeagent", *arguments],
            cwd="/",
            env=_ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._folders: set[Path] = set()
        self.status = 0
        self.stdout = ""

    def __enter__(self) -> Self:
        said: IO[str] | None = self._process.stderr
        assert said is not None
        first = said.readline()
        assert first.startswith("["), first + said.read()
        self._folders = _folders_of(self._process.pid)
        assert self._folders
        self._process.send_signal(signal.SIGINT)
        self.stdout, _ = self._process.communicate(timeout=_SECONDS)
        self.status = self._process.returncode
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def left(self) -> list[str]:
        """Processes whose temporary files were the run's, its folders, and what is mounted there."""
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        found = [line for line in mounts if any(str(folder) in line for folder in self._folders)]
        found += [str(folder) for folder in self._folders if folder.exists()]
        return found + [str(process.pid) for process, folder in _temporary_folders() if folder in self._folders]


def _temporary_folders() -> list[tuple[psutil.Process, Path]]:
    """(process, TMPDIR) of every process that has one from a run of the testers."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # gone by now
            folder = process.environ().get("TMPDIR", "")
            if "/nodeagent-test-" in folder:
                found.append((process, Path(folder)))
    return found


def _folders_of(pid: int) -> set[Path]:
    """Of the children of that process."""
    children = psutil.Process(pid).children()
    return {folder for process, folder in _temporary_folders() if process in children}
