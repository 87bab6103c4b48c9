"""Keeps the logs of running containers in bounds, by size and by number. Source: facts/node-resources.md 6.3.

A rotation is a rename, after which the runtime still writes to the same file, and ReopenContainerLog, by which it begins a new
one. Killed in between, the next look finds no live log, and asks the runtime to begin one.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nodeagent.container_logs.folder import LogFolder
from nodeagent.container_logs.packing import pack
from nodeagent.container_logs.rotation import rotation
from proto import cri_pb2 as cri
from runtimes.contract import RuntimeService
from runtimes.errors import NotFound, RuntimeFault, Timeout, Unavailable, WrongState
from runtimes.registry import Runtime

log = logging.getLogger(__name__)

LABEL_POD_UID = "io.kubernetes.pod.uid"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """`max_bytes` below 0: logs are not rotated. `max_files` counts the live log too."""

    max_bytes: int
    max_files: int
    workers: int
    interval_seconds: float


@dataclass(frozen=True, slots=True)
class _Log:
    container_id: str
    path: Path
    service: RuntimeService


class LogRotator:
    """`logs_dir`: the folder of all pods' logs; no file outside is touched."""

    def __init__(
        self,
        runtimes: Iterable[Runtime],
        logs_dir: Path,
        limits: LogLimits,
        *,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._runtimes = tuple(runtimes)
        self._logs_dir = logs_dir
        self._limits = limits
        self._now = now
        self._paths: dict[str, Path] = {}  # by container id; a container's log never moves

    async def run(self) -> None:
        if self._limits.max_bytes < 0:
            return
        while True:
            await asyncio.sleep(self._limits.interval_seconds)
            try:
                await self.look()
            except Exception:
                log.exception("logs could not be looked at, will try again")

    async def look(self) -> None:
        """One pass over all running containers; returns when every log that needed it is rotated."""
        found = await self._running()
        due = await asyncio.to_thread(lambda: [item for item in found.values() if self._is_due(item)])
        turns = asyncio.Semaphore(self._limits.workers)

        async def tend(item: _Log) -> None:
            async with turns:
                await self._tend(item)

        await asyncio.gather(*(tend(item) for item in due))

    async def _running(self) -> dict[str, _Log]:
        """The logs of running containers by container id; of a runtime that does not answer: none."""
        wanted = cri.ContainerFilter()
        wanted.state.state = cri.CONTAINER_RUNNING
        found: dict[str, _Log] = {}
        unanswered = False
        for runtime in self._runtimes:
            try:
                answer = await runtime.service.list_containers(cri.ListContainersRequest(filter=wanted))
            except RuntimeFault as error:
                unanswered = True
                log.info("runtime %s: logs not looked at: %s", runtime.handler, error)
                continue
            for container in answer.containers:
                path = await self._path_of(runtime.service, container) if container.id not in found else None
                if path is not None:
                    found[container.id] = _Log(container.id, path, runtime.service)
        if not unanswered:
            self._paths = {container_id: item.path for container_id, item in found.items()}
        return found

    async def _path_of(self, service: RuntimeService, container: cri.Container) -> Path | None:
        if LABEL_POD_UID not in container.labels:
            return None
        path = self._paths.get(container.id)
        if path is None:
            try:
                answer = await service.container_status(cri.ContainerStatusRequest(container_id=container.id))
            except RuntimeFault:
                return None  # it has gone since
            path = Path(answer.status.log_path)
        return path if path.is_relative_to(self._logs_dir) and ".." not in path.parts else None

    def _is_due(self, item: _Log) -> bool:
        """Large enough, or not there at all."""
        try:
            return item.path.lstat().st_size >= max(1, self._limits.max_bytes)
        except FileNotFoundError:
            return item.path.parent.is_dir()
        except OSError as error:
            log.warning("container %s: %s", item.container_id, error)
            return False

    # -- one log -------------------------------------------------------------------------------------------------------

    async def _tend(self, item: _Log) -> None:
        try:
            with await asyncio.to_thread(LogFolder, item.path.parent, self._logs_dir) as folder:
                live = item.path.name
                if folder.stat(live) is None:
                    await self._reopen(item)
                    return
                plan = rotation(live, folder.names(), max_files=self._limits.max_files, now=self._now())
                await asyncio.to_thread(_tidy, folder, plan.remove, plan.pack)
                if not _has_room(folder):
                    log.warning("container %s: no room to begin a new log: not rotated", item.container_id)
                    return
                folder.rename(live, plan.rotated)
                await self._begin_anew(item, folder, plan.rotated)
        except (OSError, RuntimeFault) as error:
            log.warning("container %s: log not rotated: %s", item.container_id, error)

    async def _begin_anew(self, item: _Log, folder: LogFolder, rotated: str) -> None:
        """A runtime that refuses keeps its old log. One that has not answered may yet begin a new one, in whose place
        nothing must be put: the next look asks again."""
        try:
            await self._reopen(item)
        except (Timeout, Unavailable):
            raise
        except RuntimeFault:
            folder.restore(rotated, item.path.name)
            raise

    async def _reopen(self, item: _Log) -> None:
        try:
            await item.service.reopen_container_log(cri.ReopenContainerLogRequest(container_id=item.container_id))
        except (NotFound, WrongState) as error:
            raise WrongState(f"it ended meanwhile: {error}") from error


def _tidy(folder: LogFolder, remove: Iterable[str], pack_up: Iterable[str]) -> None:
    """One file's trouble is not another's, and does not keep a large log from being rotated."""
    for name in remove:
        try:
            folder.remove(name)
        except OSError as error:
            log.warning("rotated log %s: %s", name, error)
    for name in pack_up:
        try:
            pack(folder, name)
        except OSError as error:
            log.warning("rotated log %s stays unpacked: %s", name, error)


def _has_room(folder: LogFolder) -> bool:
    """A monitor that cannot make the new file may end, and the container with it."""
    found = os.fstatvfs(folder.fd)
    return found.f_bfree > 0 and (found.f_files == 0 or found.f_ffree > 0)
