"""`nodeagent cni test` and `nodeagent csi test` as a user runs them: to their end, and interrupted."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

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
        return found + [str(pid) for pid, folder in _temporary_folders() if folder in self._folders]


def _temporary_folders() -> list[tuple[int, Path]]:
    """(pid, TMPDIR) of every process that has one from a run of the testers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().split(b"\0")
        except OSError:
            continue
        found += [
            (int(path.parent.name), Path(os.fsdecode(each.removeprefix(b"TMPDIR="))))
            for each in variables
            if each.startswith(b"TMPDIR=") and b"/nodeagent-test-" in each
        ]
    return found


def _folders_of(pid: int) -> set[Path]:
    """Of the run with that process."""
    return {folder for child, folder in _temporary_folders() if _parent_of(child) == pid}


def _parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
