"""Volumes of hollow pods: everything is asked of the API that a node asks, and no more is made than an empty directory each.

The directory is how the volume manager knows that the volume is there. Nothing is mounted, so this needs no root, and secrets do
not reach a disk.
"""

import contextlib
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumeRequest, VolumeSource, VolumeUsage
from nodeagent.volumes.layout import Layout, make_directories
from nodeagent.volumes.types.payload_volume import Payload, PayloadVolume
from nodeagent.volumes.types.publish_only import PublishOnly


class UnwrittenVolume(PayloadVolume):
    """Takes the content of configMap, secret, downwardAPI and projected volumes, and drops it."""

    @override
    async def publish(self, request: VolumeRequest, payload: Payload) -> MountedVolume:
        path = self.layout.volume_dir(request.pod.uid, self.plugin, request.directory_name)
        _make(path)
        return MountedVolume(host_path=path, directory_name=request.directory_name, read_only_forced=True)

    @override
    async def remove(self, uid: str, directory_name: str) -> None:
        self.budget.forget(uid, directory_name)
        _remove(self.layout.volume_dir(uid, self.plugin, directory_name))


class EmptyVolumes(PublishOnly):
    """All other types: claims, CSI volumes, hostPath and emptyDir alike are an empty directory."""

    name: ClassVar[str] = "hollow.nodeagent.dev/volume"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def supports(self, source: VolumeSource) -> bool:
        return True

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        path = self._layout.volume_dir(request.pod.uid, self.name, request.directory_name)
        _make(path)
        return MountedVolume(host_path=path, directory_name=request.directory_name)

    async def unpublish(self, uid: str, directory_name: str) -> None:
        _remove(self._layout.volume_dir(uid, self.name, directory_name))

    @override
    async def usage(self, volume: MountedVolume) -> VolumeUsage | None:
        return None


def _make(path: Path) -> None:
    """A few mkdir calls: not worth a thread."""
    try:
        make_directories(path)
    except OSError as error:
        raise VolumeError(f"{path}: {error.strerror or error}") from error


def _remove(path: Path) -> None:
    try:
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()
    except OSError as error:
        raise VolumeError(f"{path}: {error.strerror or error}") from error
