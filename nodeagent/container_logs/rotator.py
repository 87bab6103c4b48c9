"""Keeps the logs of running containers in bounds, by size and by number. Source: docs/facts/node-resources.md 6.3.

A pod that writes as fast as it can stays near its bounds: logs are measured the more often the faster they grow, packing never
keeps one from being rotated, and what is beyond all bounds is cut (`cutting.py`).

A rotation is a rename, after which the runtime still writes to the same file, and ReopenContainerLog, by which it begins a new
one. Killed in between, the next look finds no live log, and asks the runtime to begin one.
"""

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nodeagent.container_logs.cutting import cut, cuts
from nodeagent.container_logs.folder import LogFolder
from nodeagent.container_logs.packing import pack
from nodeagent.container_logs.rotation import UNFINISHED, files, rotation, stamps, to_pack
from proto import cri_pb2 as cri
from runtimes.contract import RuntimeService
from runtimes.errors import NotFound, RuntimeFault, Timeout, Unavailable, WrongState
from runtimes.kube.labels import LABEL_POD_UID
from runtimes.registry import Runtime

log = logging.getLogger(__name__)

MEASURE_SECONDS = 1.0
LEAST_SECONDS = 0.1


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
    """`logs_dir`: the folder of all pods' logs; no file outside is touched.

    A look asks the runtimes which logs there are. Between two of them only the disk is watched: when it loses a log's worth of
    space, somebody writes, which is the next look, and from then on the logs are measured the more often the faster they grow.
    """

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
        self._logs: dict[str, _Log] = {}  # by container id; a container's log never moves
        self._sizes: dict[str, int] = {}  # when they were last measured
        self._speeds: dict[str, float] = {}  # bytes a second, as of then
        self._tended: set[str] = set()
        self._in_trouble: set[str] = set()
        self._packed: set[Path] = set()  # just now
        self._to_pack: set[str] = set()  # containers that have, or may have, rotated files to be packed up
        self._turns = asyncio.Semaphore(limits.workers)

    async def run(self) -> None:
        if self._limits.max_bytes < 0:
            return
        clock = asyncio.get_running_loop().time
        usual = min(MEASURE_SECONDS, self._limits.interval_seconds)
        async with asyncio.TaskGroup() as tasks:
            pause, free_bytes = usual, self._free_bytes()
            looked = measured = clock()
            packing: asyncio.Task[None] | None = None
            while True:
                await asyncio.sleep(pause)
                due_look = clock() - looked >= self._limits.interval_seconds
                free_now = self._free_bytes()
                lost_space = free_bytes - free_now >= self._limits.max_bytes
                free_bytes = max(free_bytes, free_now)
                if not (due_look or lost_space or pause < usual):
                    continue  # nothing that could be in a hurry: a node at rest is not looked at
                try:
                    if due_look or lost_space:
                        looked, free_bytes = clock(), free_now
                        await self._list()
                    elapsed, measured = clock() - measured, clock()
                    due, pause = await asyncio.to_thread(self._measure, elapsed)
                    if due_look:
                        self._in_trouble.clear()
                        due += await asyncio.to_thread(self._missing)
                    for item in self._claim(due):
                        tasks.create_task(self._tend_claimed(item))
                    if due_look and (packing is None or packing.done()):
                        packing = tasks.create_task(self._pack_old())
                except Exception:
                    log.exception("logs could not be looked at, will try again")

    async def look(self) -> None:
        """One pass over all running containers; returns when every log that needed it is rotated, and older files are packed."""
        await self._list()
        self._in_trouble.clear()
        due = await asyncio.to_thread(lambda: [*self._measure(1.0)[0], *self._missing()])
        await asyncio.gather(*(self._tend_claimed(item) for item in self._claim(due)))
        await self._pack_old()

    def _measure(self, elapsed_seconds: float) -> tuple[list[_Log], float]:
        """The logs that are large enough, and in how many seconds to measure again: before the fastest one gets there. Blocks."""
        due, pause = [], min(MEASURE_SECONDS, self._limits.interval_seconds)
        sizes: dict[str, int] = {}
        speeds: dict[str, float] = {}
        limit = max(1, self._limits.max_bytes)
        for item in self._logs.values():
            try:
                size = item.path.lstat().st_size
            except OSError:
                continue
            sizes[item.container_id] = size
            if size >= limit:
                due.append(item)
            speed = speeds[item.container_id] = self._speed(item.container_id, size, elapsed_seconds)
            if speed > 0:
                left = limit - size if size < limit else limit
                pause = min(pause, max(LEAST_SECONDS, left / speed))
        self._sizes, self._speeds = sizes, speeds
        return due, pause

    def _speed(self, container_id: str, size: int, elapsed_seconds: float) -> float:
        """How fast a log grows. A rotation does not make its writer slower: what was known before counts for half."""
        before = self._sizes.get(container_id, 0)
        grown = size - before if size >= before else size
        return max(grown / max(elapsed_seconds, 1e-3), self._speeds.get(container_id, 0.0) / 2)

    def _missing(self) -> list[_Log]:
        """The logs that have a folder and are not there. Blocks."""
        return [item for item in self._logs.values() if _is_missing(item.path)]

    def _claim(self, due: Iterable[_Log]) -> list[_Log]:
        """Those that nobody tends yet, and with which there was no trouble since the last look; from now on they are tended."""
        found = [item for item in due if item.container_id not in self._tended | self._in_trouble]
        self._tended |= {item.container_id for item in found}
        return found

    def _free_bytes(self) -> int:
        try:
            found = os.statvfs(self._logs_dir)
        except OSError:
            return 0
        return found.f_bfree * found.f_frsize

    async def _list(self) -> None:
        found = await self._running()
        # an agent of before may have left some; since then only a rotation makes more
        self._to_pack = (self._to_pack & found.keys()) | (found.keys() - self._logs.keys())
        self._logs = found

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
        # what a runtime that does not answer holds may still be written to
        return {**self._logs, **found} if unanswered else found

    async def _path_of(self, service: RuntimeService, container: cri.Container) -> Path | None:
        if LABEL_POD_UID not in container.labels:
            return None
        known = self._logs.get(container.id)
        path = known.path if known is not None else None
        if path is None:
            try:
                answer = await service.container_status(cri.ContainerStatusRequest(container_id=container.id))
            except RuntimeFault:
                return None  # it has gone since
            path = Path(answer.status.log_path)
        return path if path.is_relative_to(self._logs_dir) and ".." not in path.parts else None

    async def _pack_old(self) -> None:
        """Pack up what has been rotated, beside all rotations: it takes long, and no log is to grow meanwhile."""
        turns = asyncio.Semaphore(self._limits.workers)

        async def pack_up(item: _Log) -> None:
            self._to_pack.discard(item.container_id)  # a rotation meanwhile is the next look's
            async with turns:
                done = await asyncio.to_thread(self._pack_log, item)
            if not done:
                self._to_pack.add(item.container_id)

        await asyncio.gather(*(pack_up(item) for item in self._logs.values() if item.container_id in self._to_pack))

    def _pack_log(self, item: _Log) -> bool:
        """Whether nothing is left to be packed. One file's trouble is not another's. Blocks."""
        done = True
        try:
            with LogFolder(item.path.parent, self._logs_dir) as folder:
                for name in to_pack(item.path.name, folder.names()):
                    path = item.path.with_name(name)
                    self._packed.add(path)
                    try:
                        done &= pack(folder, name)
                    except FileNotFoundError:
                        pass  # it was dropped meanwhile
                    except OSError as error:
                        done = False
                        log.warning("rotated log %s stays unpacked: %s", name, error)
                    finally:
                        self._packed.discard(path)
        except OSError as error:
            log.debug("container %s: rotated logs not packed up: %s", item.container_id, error)
            done = False
        return done

    # -- one log -------------------------------------------------------------------------------------------------------

    async def _tend_claimed(self, item: _Log) -> None:
        try:
            await self._tend(item)
        finally:
            self._tended.discard(item.container_id)

    async def _tend(self, item: _Log) -> None:
        try:
            with await asyncio.to_thread(LogFolder, item.path.parent, self._logs_dir) as folder:
                live = item.path.name
                if folder.stat(live) is None:
                    await self._reopen(item)
                    return
                async with self._turns:
                    plan = rotation(live, folder.names(), max_files=self._limits.max_files, now=self._now())
                    await asyncio.to_thread(
                        _remove, folder, [name for name in plan.remove if not self._is_packed(item, name)]
                    )
                    if not _has_room(folder):
                        await asyncio.to_thread(self._make_room, item, folder)
                    if not _has_room(folder):
                        raise OSError(errno.ENOSPC, "no room to begin a new log")
                    folder.rename(live, plan.rotated)
                    self._to_pack.add(item.container_id)
                await self._begin_anew(item, folder, plan.rotated)
                await asyncio.to_thread(self._cut, item, folder)
        except (OSError, RuntimeFault) as error:
            self._in_trouble.add(item.container_id)
            log.warning("container %s: log not rotated: %s", item.container_id, error)
            await asyncio.to_thread(self._cut_live, item)

    def _cut_live(self, item: _Log) -> None:
        """What cannot be rotated is not to fill the disk either. Blocks."""
        with contextlib.suppress(OSError), LogFolder(item.path.parent, self._logs_dir) as folder:
            found = folder.stat(item.path.name)
            if found is not None and found.st_blocks * 512 > self._limits.max_bytes * self._limits.max_files:
                self._cut_one(item, folder, item.path.name)

    def _is_packed(self, item: _Log, name: str) -> bool:
        """Whether `name` is the file that packing writes just now."""
        return name.endswith(UNFINISHED) and item.path.with_name(name.removesuffix(UNFINISHED)) in self._packed

    def _cut(self, item: _Log, folder: LogFolder) -> None:
        """Blocks. Raises OSError."""
        live, limits = item.path.name, self._limits
        for name in cuts(_sizes(folder, live), live, max_bytes=limits.max_bytes, max_files=limits.max_files):
            self._cut_one(item, folder, name)

    def _make_room(self, item: _Log, folder: LogFolder) -> None:
        """On a full disk: what this log has beyond its bounds goes first, of the live file too. Blocks. Raises OSError.

        The writer may not know, and go on where it was: a hole is left, which the rotation that follows takes away.
        """
        self._cut(item, folder)
        if not _has_room(folder):
            self._cut_one(item, folder, item.path.name)

    def _cut_one(self, item: _Log, folder: LogFolder, name: str) -> None:
        if gone := cut(folder, name, self._limits.max_bytes):
            log.warning(
                "container %s writes its log faster than it can be kept: %d bytes of %s are cut",
                item.container_id,
                gone,
                name,
            )

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


def _remove(folder: LogFolder, names: Iterable[str]) -> None:
    """One file's trouble is not another's, and does not keep a large log from being rotated. Blocks."""
    for name in names:
        try:
            folder.remove(name)
        except OSError as error:
            log.warning("rotated log %s: %s", name, error)


def _sizes(folder: LogFolder, live: str) -> dict[str, int]:
    """Of the log's own files, by name."""
    own = {live} | {name for stamp in stamps(live, folder.names()) for name in files(live, stamp)}
    found: dict[str, int] = {}
    for name in own:
        with contextlib.suppress(OSError):
            there = folder.stat(name)
            if there is not None:
                found[name] = there.st_size
    return found


def _is_missing(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return path.parent.is_dir()
    except OSError as error:
        log.warning("log %s: %s", path, error)
    return False


def _has_room(folder: LogFolder) -> bool:
    """A monitor that cannot make the new file may end, and the container with it."""
    found = os.fstatvfs(folder.fd)
    return found.f_bfree > 0 and (found.f_files == 0 or found.f_ffree > 0)
