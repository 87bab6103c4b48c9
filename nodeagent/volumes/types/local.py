"""local: a directory of the node, or a block device of it, that a PersistentVolume names (docs/facts/storage.md 4.8)."""

import contextlib
import stat
from pathlib import Path

from lightkube.models.core_v1 import LocalVolumeSource

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
from nodeagent.volumes.layout import Layout, safe_component
from nodeagent.volumes.usage import measured
from runtimes.linux import file_systems, mounts
from runtimes.linux.tasks import run_blocking

NAME = "kubernetes.io/local-volume"


class LocalPlugin:
    """The file system of a block device is mounted at `plugins/kubernetes.io/local-volume/mounts/<volume>`, for all pods."""

    name = NAME

    def __init__(self, layout: Layout, events: Events) -> None:
        self._layout = layout
        self._events = events

    def supports(self, source: VolumeSource) -> bool:
        return _declared(source) is not None

    def capabilities(self, source: VolumeSource) -> Capabilities:
        return Capabilities(stage=not source.block, expand=True)

    def volume_id(self, source: VolumeSource) -> str:
        return f"{NAME}/{source.name}"

    async def attach(self, request: VolumeRequest) -> None:
        return

    async def stage(self, request: VolumeRequest) -> None:
        path, declared = _path(request.source), _declared(request.source)
        if await run_blocking(_is_device, path):
            fstype = (declared.fsType if declared is not None else None) or file_systems.DEFAULT
            await device_mount.stage(request, path, self._staging(request.source.name), fstype, self._events)

    async def unstage(self, volume_id: str) -> None:
        await device_mount.unstage(self._staging(volume_id.removeprefix(f"{NAME}/")))

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        path, source, uid = _path(request.source), request.source, request.pod.uid
        is_device = await run_blocking(_is_device, path)
        if source.block:
            if not is_device:
                raise VolumeError(f"{path} is no block device")
            return await run_blocking(device_map.map_device, self._layout, NAME, uid, source.name, path)
        origin = self._staging(source.name) if is_device else path
        target = self._layout.volume_dir(uid, NAME, request.directory_name)
        if not await run_blocking(mounts.is_mount_point, target):
            await self._to_group(request, origin)
            await run_blocking(pod_mount.bind, source, origin, target, read_only=source.read_only)
        return MountedVolume(host_path=target, directory_name=request.directory_name, relabel=not source.read_only)

    async def unpublish(self, uid: str, directory_name: str) -> None:
        await run_blocking(pod_mount.unbind, self._layout.volume_dir(uid, NAME, directory_name))
        await run_blocking(device_map.unmap_device, self._layout, NAME, uid, directory_name)

    async def expand(self, request: VolumeRequest) -> None:
        """A directory has what its file system has, and a device what it is made of: a file system in one is let grow."""
        path = _path(request.source)
        if await run_blocking(_is_device, path):
            wanted_bytes = request.source.expand_to_bytes or 0
            await device_mount.grow(path, self._staging(request.source.name), wanted_bytes)

    async def usage(self, volume: MountedVolume) -> VolumeUsage | None:
        return await measured(volume.host_path, block=volume.block)

    async def _to_group(self, request: VolumeRequest, origin: Path) -> None:
        """The first pod's group has it: another's would take it away from a pod that runs."""
        if request.fs_group is None or request.source.read_only:
            return
        if not await run_blocking(self._used_by_others, request):
            await hand_over(request, origin, self._events)
            return
        owner = (await run_blocking(origin.stat)).st_gid
        if owner != request.fs_group:
            text = (
                f"The requested fsGroup is {request.fs_group}, but the volume {request.source.name} has GID {owner}. "
                "The volume may not be shareable."
            )
            self._events.event(request.pod, "Warning", "AlreadyMountedVolume", text)

    def _used_by_others(self, request: VolumeRequest) -> bool:
        with contextlib.suppress(FileNotFoundError):
            others = (entry.name for entry in self._layout.pods_dir.iterdir() if entry.name != request.pod.uid)
            targets = (self._layout.volume_dir(uid, NAME, request.directory_name) for uid in others)
            return any(map(mounts.is_mount_point, targets))
        return False

    def _staging(self, name: str) -> Path:
        return self._layout.root_dir / "plugins" / NAME / "mounts" / safe_component(name)


def _declared(source: VolumeSource) -> LocalVolumeSource | None:
    spec = source.persistent_spec
    return spec.local if spec is not None else None


def _path(source: VolumeSource) -> Path:
    """Raises VolumeError for one that leads elsewhere than it says."""
    declared = _declared(source)
    assert declared is not None
    if ".." in declared.path.split("/") or "\0" in declared.path or not declared.path.startswith("/"):
        raise VolumeError(f"{declared.path!r} is no path of a local volume")
    return Path(declared.path)


def _is_device(path: Path) -> bool:
    """Whether it is a block device, and not a directory. Raises VolumeError for anything else, and for nothing there."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise VolumeError(f'path "{path}" does not exist') from error
    except OSError as error:
        raise VolumeError(f"{path}: {error.strerror}") from error
    if not stat.S_ISDIR(mode) and not stat.S_ISBLK(mode):
        raise VolumeError("only directory and block device are supported")
    return stat.S_ISBLK(mode)
