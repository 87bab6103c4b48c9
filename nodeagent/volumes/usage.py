"""How much of a volume is used (docs/facts/storage.md 8)."""

import asyncio
import contextlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from weakref import WeakKeyDictionary

from nodeagent.volumes.contract import VolumeError, VolumeUsage
from runtimes.linux import file_systems
from runtimes.linux.mounts import MountError, is_mount_point
from runtimes.linux.tree_walk import DIRECTORY, Changed, TreeWalk, until_settled

_BLOCK_BYTES = 512  # of st_blocks
_AT_ONCE = 4
SLOW_SECONDS = 5.0  # a measurement that takes longer waits for a server, perhaps for ever: others need not wait for it
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def measured(path: Path, *, block: bool = False) -> VolumeUsage:
    """`measure`, or `measure_device`, beside the caller, not many at once. Raises VolumeError.

    A file system whose server is gone keeps its thread, but neither the others' turn nor the end of this process.
    """
    loop = asyncio.get_running_loop()
    turns = _turns.setdefault(loop, asyncio.Semaphore(_AT_ONCE))
    await turns.acquire()
    give_back = contextlib.ExitStack()
    give_back.callback(turns.release)
    late = loop.call_later(SLOW_SECONDS, give_back.close)
    try:
        return await _in_a_thread(loop, measure_device if block else measure, path)
    finally:
        late.cancel()
        give_back.close()


def _in_a_thread(
    loop: asyncio.AbstractEventLoop, function: Callable[[Path], VolumeUsage], path: Path
) -> "asyncio.Future[VolumeUsage]":
    """What `function` says of `path`. A thread of its own, that nobody waits for when the process ends."""
    answer: asyncio.Future[VolumeUsage] = loop.create_future()

    def tell(found: VolumeUsage | None, error: BaseException | None) -> None:
        if answer.done():  # whoever asked has gone
            return
        if found is not None:
            answer.set_result(found)
        elif error is not None:
            answer.set_exception(error)

    def run() -> None:
        found, failed = None, None
        try:
            found = function(path)
        except BaseException as error:
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, found, failed)

    threading.Thread(target=run, name=f"usage of {path}", daemon=True).start()
    return answer


def measure(directory: Path) -> VolumeUsage:
    """Capacity and what is free are the file system's. Blocks, for long where there are many files. Raises VolumeError.

    Used is, of a file system of its own, what it says; else what the files take, hard links counted once, no link followed and
    no mount entered.
    """
    try:
        system = os.statvfs(directory)
        if is_mount_point(directory):
            used_bytes, inodes_used = (
                (system.f_blocks - system.f_bfree) * system.f_frsize,
                system.f_files - system.f_ffree,
            )
        else:
            used_bytes, inodes_used = _count(directory)
    except OSError as error:
        raise VolumeError(f"{directory}: {error.strerror or error}") from error
    return VolumeUsage(
        capacity_bytes=system.f_blocks * system.f_frsize,
        available_bytes=system.f_bavail * system.f_frsize,
        used_bytes=used_bytes,
        inodes=system.f_files,
        inodes_free=system.f_ffree,
        inodes_used=inodes_used,
    )


def measure_device(device: Path) -> VolumeUsage:
    """A block device has a size; what of it is used only its user knows. Blocks shortly. Raises VolumeError."""
    try:
        return VolumeUsage(capacity_bytes=file_systems.size_bytes(device))
    except OSError as error:
        raise VolumeError(f"{device}: {error.strerror or error}") from error


def _count(directory: Path) -> tuple[int, int]:
    """(bytes, inodes) of a tree. Raises OSError."""
    found: list[tuple[int, int]] = []
    until_settled(lambda: found.append(_walk(directory)))
    return found[-1]


def _walk(directory: Path) -> tuple[int, int]:
    used_bytes, inodes, linked = 0, 0, set[tuple[int, int]]()

    def add(status: os.stat_result) -> None:
        nonlocal used_bytes, inodes
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if (status.st_dev, status.st_ino) in linked:
                return
            linked.add((status.st_dev, status.st_ino))
        used_bytes += status.st_blocks * _BLOCK_BYTES
        inodes += 1

    with TreeWalk(os.open(directory, DIRECTORY)) as at:
        add(os.fstat(at.fd))
        while at.names or at.depth:
            if not at.names:
                at.leave()
                continue
            name = at.names.pop()
            try:
                status = os.lstat(name, dir_fd=at.fd)
                if stat.S_ISDIR(status.st_mode):
                    at.enter(name)
            except (FileNotFoundError, Changed, MountError):
                continue  # gone by now, or not of this volume
            add(status)
    return used_bytes, inodes
