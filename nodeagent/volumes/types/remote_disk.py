"""Disks that come from elsewhere: reached, mounted once on the node, bound for pods, or given to them as they are.

How a disk is reached and let go is the types' own (`iscsi`, `fc`): a `Reach`. What has to be known to let it go is beside its
mount point, `plugins/<type>/<disk>.json`, written before the disk is reached.
"""

import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from nodeagent.api.events import Events
from nodeagent.volumes import device_map, device_mount, pod_mount
from nodeagent.volumes.contract import (
    Capabilities,
    MountedVolume,
    VolumeError,
    VolumeRequest,
    VolumeSource,
    VolumeUsage,
)
from nodeagent.volumes.fs_group import hand_over
from nodeagent.volumes.layout import Layout, make_directories, safe_component
from nodeagent.volumes.usage import measured
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux import file_systems, mounts
from runtimes.linux.files import replace_file
from runtimes.linux.tasks import run_blocking

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What a volume declares. `place`: its directory below the type's, one or two names; no other disk has it.

    `record`: what `Reach.release` needs; no secrets.
    """

    place: tuple[str, ...]
    fstype: str
    read_only: bool
    record: Record


# the records of the disks that stay, those that are about to be reached among them
Others = Callable[[], Awaitable[Sequence[Record]]]


class Reach(Protocol):
    """One type of remote disks."""

    name: str

    def declared(self, source: VolumeSource) -> Disk | None:
        """None: the volume is of another type. Raises nothing."""
        ...

    async def reach(self, disk: Disk, request: VolumeRequest) -> Path:
        """Have the disk on this host; its device node. Repeatable. Raises VolumeError."""
        ...

    async def release(self, record: Record, device: Path | None, others: Others) -> None:
        """Undo `reach`, or half of it. `device`: as far as it was reached. Raises VolumeError."""
        ...


class RemoteDiskPlugin:
    def __init__(self, reach: Reach, layout: Layout, events: Events) -> None:
        self._reach = reach
        self._layout = layout
        self._events = events

    @property
    def name(self) -> str:
        return self._reach.name

    def supports(self, source: VolumeSource) -> bool:
        return self._reach.declared(source) is not None

    def capabilities(self, source: VolumeSource) -> Capabilities:
        return Capabilities(stage=True, expand=True)

    def volume_id(self, source: VolumeSource) -> str:
        disk = self._reach.declared(source)
        return "/".join((self.name, *(disk.place if disk is not None else ())))

    async def attach(self, request: VolumeRequest) -> None:
        return

    async def stage(self, request: VolumeRequest) -> None:
        disk = self._disk(request.source)
        staging = self._staging(disk.place)
        record = {**disk.record, "device": (await run_blocking(_known, staging)).get("device", "")}
        await run_blocking(_write, _note(staging), record)
        device = await self._reach.reach(disk, request)
        await run_blocking(_write, _note(staging), {**disk.record, "device": str(device)})
        if not request.source.block:
            fstype = disk.fstype or file_systems.DEFAULT
            await device_mount.stage(request, device, staging, fstype, self._events, read_only=disk.read_only)

    async def unstage(self, volume_id: str) -> None:
        staging = self._staging(tuple(volume_id.removeprefix(f"{self.name}/").split("/")))
        await device_mount.unstage(staging)
        if record := await run_blocking(_known, staging):
            device = Path(str(record["device"])) if record.get("device") else None
            await self._reach.release(record, device, functools.partial(run_blocking, self._others, staging))
        await run_blocking(_forget, staging)

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        disk, source, uid = self._disk(request.source), request.source, request.pod.uid
        staging = self._staging(disk.place)
        if source.block:
            device = await run_blocking(_device, staging)
            return await run_blocking(device_map.map_device, self._layout, self.name, uid, source.name, device)
        target = self._layout.volume_dir(uid, self.name, request.directory_name)
        read_only = disk.read_only or source.read_only
        if not await run_blocking(mounts.is_mount_point, target):
            if not read_only:
                await hand_over(request, staging, self._events)
            await run_blocking(_bind, source, staging, target, read_only)
        return MountedVolume(
            host_path=target,
            directory_name=request.directory_name,
            read_only_forced=disk.read_only,
            relabel=not read_only,
        )

    async def unpublish(self, uid: str, directory_name: str) -> None:
        await run_blocking(pod_mount.unbind, self._layout.volume_dir(uid, self.name, directory_name))
        await run_blocking(device_map.unmap_device, self._layout, self.name, uid, directory_name)

    async def expand(self, request: VolumeRequest) -> None:
        staging = self._staging(self._disk(request.source).place)
        await device_mount.grow(await run_blocking(_device, staging), staging, request.source.expand_to_bytes or 0)

    async def usage(self, volume: MountedVolume) -> VolumeUsage | None:
        return await measured(volume.host_path, block=volume.block)

    def _disk(self, source: VolumeSource) -> Disk:
        disk = self._reach.declared(source)
        assert disk is not None
        return disk

    def _staging(self, place: tuple[str, ...]) -> Path:
        return self._layout.root_dir.joinpath("plugins", self.name, *map(safe_component, place))

    def _others(self, staging: Path) -> Sequence[Record]:
        top = self._layout.root_dir / "plugins" / self.name
        notes = [path for path in (*top.glob("*.json"), *top.glob("*/*.json")) if path != _note(staging)]
        return [_known(path.with_name(path.name.removesuffix(".json"))) for path in notes]


def texts(found: object) -> list[str]:
    """A list of a record's."""
    return [str(each) for each in found] if isinstance(found, list | tuple) else []


def _note(staging: Path) -> Path:
    return staging.with_name(f"{staging.name}.json")


def _known(staging: Path) -> Record:
    """What was noted of a disk; nothing where nothing was. Raises VolumeError."""
    try:
        return msgspec.json.decode(_note(staging).read_bytes(), type=dict[str, object])
    except FileNotFoundError:
        return {}
    except (OSError, *UNREADABLE) as error:
        raise VolumeError(f"{_note(staging)} cannot be read: {error}") from error


def _device(staging: Path) -> Path:
    """Raises VolumeError where the disk has not been reached."""
    if device := _known(staging).get("device"):
        return Path(str(device))
    raise VolumeError(f"{staging.name} is not on this node yet")


def _write(path: Path, record: Record) -> None:
    make_directories(path.parent)
    replace_file(path, msgspec.json.encode(record))


def _forget(staging: Path) -> None:
    _note(staging).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        staging.parent.rmdir()


def _bind(source: VolumeSource, staging: Path, target: Path, read_only: bool) -> None:
    if not mounts.is_mount_point(staging):
        raise VolumeError(f"{staging.name} is not mounted on this node yet")
    pod_mount.bind(source, staging, target, read_only=read_only)
