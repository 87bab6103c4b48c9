"""Static pods from a folder, or from one file. Source: docs/facts/pod-lifecycle.md 1.1, 1.3.

Looks again at every change that inotify reports, and every 20 s for what inotify cannot see (network file systems).
"""

import asyncio
import contextlib
import functools
import hashlib
import logging
import stat
from pathlib import Path

from asyncinotify import Event, Mask
from lightkube.models.core_v1 import Pod

from nodeagent.podspec.pod import FILE
from nodeagent.sources.manifest import MAX_BYTES, InvalidManifest, StaticRules, decode, static_pod
from nodeagent.sources.merger import PodMerger
from runtimes.linux import syscalls
from runtimes.linux.folder_watch import CONTENTS, watched

log = logging.getLogger(__name__)

RESCAN_SECONDS = 20.0


class FileSource:
    """Feeds the merger from `path` until cancelled. A missing path has no pods; a bad file hides no other."""

    def __init__(
        self, path: Path, merger: PodMerger, rules: StaticRules, *, rescan_seconds: float = RESCAN_SECONDS
    ) -> None:
        self._path = path
        self._merger = merger
        self._rules = rules
        self._rescan_seconds = rescan_seconds
        self._complaints: dict[Path, str] = {}
        self._known: dict[
            Path, tuple[bytes, Pod | str]
        ] = {}  # of each file: the digest of what was in it, and what became of it

    async def run(self) -> None:
        while True:
            async with watched(CONTENTS, functools.partial(_concerns, self._path)) as watch:
                # a single file is watched through its folder: editors replace it
                watch.cover({self._path, self._path.parent})
                await self.scan()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._rescan_seconds):
                        await watch.changed.wait()

    async def scan(self) -> None:
        """Deliver what the files say now."""
        try:
            found = await asyncio.to_thread(self._look)
        except OSError as error:
            # unreadable is not empty: what runs goes on running
            self._complain(self._path, f"cannot be read: {error.strerror or error}")
            return
        self._complaints = {path: text for path, text in self._complaints.items() if path in found}
        pods = []
        for path, pod in found.items():
            if isinstance(pod, str):
                self._complain(path, pod)
            else:
                self._complaints.pop(path, None)
                pods.append(pod)
        self._merger.replace(FILE, pods)

    def _look(self) -> dict[Path, Pod | str]:
        """The pod of every file, or why there is none. A missing path has none. Raises OSError for a folder unreadable."""
        try:
            files = (
                [self._path]
                if not self._path.is_dir()
                else [file for file in sorted(self._path.iterdir()) if _counts(file)]
            )
        except FileNotFoundError:
            files = []
        found: dict[Path, Pod | str] = {}
        known, self._known = self._known, {}
        for file in files:  # one after the other: no more than one is in memory
            try:
                data = _read(file)
            except FileNotFoundError:
                continue
            except OSError as error:
                found[file] = f"cannot be read: {error.strerror or error}"
                continue
            digest = hashlib.blake2b(data).digest()
            before = known.get(file)
            found[file] = before[1] if before is not None and before[0] == digest else self._pod(file, data)
            self._known[file] = digest, found[file]
        return found

    def _pod(self, path: Path, data: bytes) -> Pod | str:
        try:
            return static_pod(decode(data), str(path), self._rules)
        except InvalidManifest as error:
            return str(error)

    def _complain(self, path: Path, text: str) -> None:
        if self._complaints.get(path) != text:  # not again with every rescan
            log.error("static pod file %s ignored: %s", path, text)
            self._complaints[path] = text


def _counts(file: Path) -> bool:
    return not file.name.startswith(".") and not file.is_dir()


def _read(file: Path) -> bytes:
    """What is in a regular file, or in one that a link leads to; of a pipe or a device nothing is read, nor is it opened."""
    with open(syscalls.open_regular(syscalls.AT_FDCWD, file, resolve=0), "rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _concerns(path: Path, event: Event) -> bool:
    where = event.path
    if where is None or where == path or (path in where.parents and not where.name.startswith(".")):
        # what is being written is closed, too; now it may be half there
        return not (event.mask & Mask.CREATE and where is not None and _being_written(where))
    return False


def _being_written(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1
