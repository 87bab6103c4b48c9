"""nfs: a directory of a server, mounted for each pod by the host's own mount program (docs/facts/storage.md 4.11).

A server that does not answer hangs whoever asks it. So the mount table says what is mounted, and what has to ask the server is a
program with a deadline. Ownership is the server's business: no fsGroup, no labels.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumeRequest, VolumeSource, VolumeUsage
from nodeagent.volumes.layout import Layout, make_directories
from nodeagent.volumes.types.publish_only import PublishOnly
from runtimes.linux import mountinfo, process
from runtimes.linux.mounts import shown
from runtimes.linux.tasks import run_blocking

NAME = "kubernetes.io/nfs"
MOUNT_SECONDS = 120.0
UNMOUNT_SECONDS = 60.0
LOOK_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What a volume declares. `source`: as mount takes it."""

    source: str
    options: tuple[str, ...]
    read_only: bool


def export_of(source: VolumeSource) -> Export | None:
    """None: the volume is of another type."""
    spec = source.persistent_spec
    declared = (spec.nfs if spec is not None else None) or source.volume.nfs
    if declared is None:
        return None
    server = (
        f"[{declared.server}]" if ":" in declared.server and not declared.server.startswith("[") else declared.server
    )
    read_only = bool(declared.readOnly) or source.read_only
    options = (*(("ro",) if read_only else ()), *source.mount_options)
    return Export(source=f"{server}:{declared.path}", options=options, read_only=read_only)


class NfsPlugin(PublishOnly):
    """`run`: another than the host's programs, for tests."""

    name = NAME

    def __init__(self, layout: Layout, run: process.Run = process.run) -> None:
        self._layout = layout
        self._run = run

    def supports(self, source: VolumeSource) -> bool:
        return not source.block and export_of(source) is not None

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        export = export_of(request.source)
        assert export is not None
        path = self._layout.volume_dir(request.pod.uid, NAME, request.directory_name)
        if await run_blocking(_is_mounted, path) and await self._is_stale(path):
            await self._unmount(path)
        if not await run_blocking(_is_mounted, path):
            await run_blocking(make_directories, path)
            await self._mount(export, path)
        return MountedVolume(host_path=path, directory_name=request.directory_name, read_only_forced=export.read_only)

    async def unpublish(self, uid: str, directory_name: str) -> None:
        path = self._layout.volume_dir(uid, NAME, directory_name)
        await self._unmount(path)
        await run_blocking(_remove_empty, path)

    @override
    async def usage(self, volume: MountedVolume) -> VolumeUsage | None:
        argv = ("stat", "--file-system", "--format=%S %b %f %a %c %d", "--", str(volume.host_path))
        done = await self._call(argv, LOOK_SECONDS)
        try:
            size, blocks, free, available, inodes, inodes_free = map(int, done.stdout.split())
        except ValueError:
            raise VolumeError(f"{shown(volume.host_path)}: {done.error_text}") from None
        return VolumeUsage(
            capacity_bytes=blocks * size,
            available_bytes=available * size,
            used_bytes=(blocks - free) * size,
            inodes=inodes,
            inodes_free=inodes_free,
            inodes_used=inodes - inodes_free,
        )

    async def _mount(self, export: Export, path: Path) -> None:
        options = ("-o", ",".join(export.options)) if export.options else ()
        try:
            done = await self._call(("mount", "-t", "nfs", *options, "--", export.source, str(path)), MOUNT_SECONDS)
            if not done.ok:
                raise VolumeError(f"mount of {export.source} failed: {done.error_text}")
        except VolumeError:
            await self._unmount(path)
            await run_blocking(_remove_empty, path)
            raise

    async def _is_stale(self, path: Path) -> bool:
        """The server does not know any more what was mounted. One that does not answer is waited for by who uses the volume."""
        try:
            return not (await self._call(("stat", "--file-system", "--", str(path)), LOOK_SECONDS)).ok
        except VolumeError:
            return False

    async def _unmount(self, path: Path) -> None:
        """Whatever is stacked there. What is in use stays; by force only where the server does not answer, as that ends what
        others ask of it. Raises VolumeError.
        """
        force: tuple[str, ...] = ()
        while await run_blocking(_is_mounted, path):
            try:
                done = await self._run(("umount", *force, "--", str(path)), timeout_seconds=UNMOUNT_SECONDS)
            except process.ProcessTimeout as error:
                if force:
                    raise VolumeError(f"unmount of {shown(path)} failed: {error}") from error
                force = ("--internal-only", "--force")
                continue
            except process.ProcessError as error:
                raise VolumeError(str(error)) from error
            if not done.ok:
                raise VolumeError(f"unmount of {shown(path)} failed: {done.error_text}")

    async def _call(self, argv: Sequence[str], timeout_seconds: float) -> process.Completed:
        try:
            return await self._run(argv, timeout_seconds=timeout_seconds)
        except process.ProcessError as error:
            raise VolumeError(str(error)) from error


def _is_mounted(path: Path) -> bool:
    return f"{os.path.realpath(path.parent)}/{path.name}" in mountinfo.mount_points()


def _remove_empty(path: Path) -> None:
    try:
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise VolumeError(f"{shown(path)}: {error.strerror}") from error
