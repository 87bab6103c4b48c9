"""Volumes whose content the agent writes: a wrapped emptyDir, filled by the atomic writer, handed to the pod's group."""

import enum
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lightkube.models.core_v1 import Pod

from nodeagent.volumes import empty_dir, ownership
from nodeagent.volumes.atomic_writer import FileEntry, write_payload
from nodeagent.volumes.blocking import run_blocking
from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumeRequest
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.sources import PodResources

DEFAULT_MODE = 0o644
_NESTED_MODE = 0o755
Payload = Mapping[str, FileEntry]


class Backing(enum.Enum):
    DISK = "disk"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class PayloadVolume:
    """The directory handling that configMap, secret, downwardAPI and projected volumes share."""

    layout: Layout
    resources: PodResources
    plugin: str
    backing: Backing

    async def publish(self, request: VolumeRequest, payload: Payload) -> MountedVolume:
        """Make `payload` the content of the volume, mounting it first where it is not. Raises VolumeError."""
        path = self.layout.volume_dir(request.uid, self.plugin, request.name)
        size_bytes = 0
        if self.backing is Backing.MEMORY:
            size_bytes = empty_dir.tmpfs_size_bytes(request.pod, None, self.resources)
        await run_blocking(self._publish, path, request, payload, size_bytes)
        return MountedVolume(host_path=path, directory_name=request.name, read_only_forced=True, relabel=True)

    async def remove(self, uid: str, directory_name: str) -> None:
        path = self.layout.volume_dir(uid, self.plugin, directory_name)
        await run_blocking(empty_dir.tear_down, path, self._marker(uid, directory_name))

    def _marker(self, uid: str, directory_name: str) -> Path:
        return empty_dir.ready_marker(self.layout, uid, f"wrapped_{directory_name}")

    def _publish(self, path: Path, request: VolumeRequest, payload: Payload, size_bytes: int) -> None:
        marker = self._marker(request.uid, request.name)
        fresh = not marker.exists()
        try:
            if self.backing is Backing.MEMORY:
                empty_dir.make_tmpfs(path, size_bytes)
            else:
                empty_dir.make_disk(path)
            for nested in request.nested:
                _make_nested(path, nested)
            group = request.fs_group
            # readers never see a file that is not the group's yet; the group reads and does not write, for the agent alone does
            hand_over = None if group is None else functools.partial(ownership.set_group, gid=group, read_only=True)
            write_payload(path, payload, set_permissions=hand_over)
            if fresh:
                if hand_over is not None:
                    hand_over(path)
                empty_dir.set_ready(marker)
        except (OSError, VolumeError) as error:
            if fresh:
                empty_dir.tear_down(path, marker)
            if isinstance(error, VolumeError):
                raise
            raise VolumeError(f"{error.filename or path}: {error.strerror or error}") from error


def _make_nested(path: Path, nested: str) -> None:
    target = path / nested
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(_NESTED_MODE)


def nested_mount_points(pod: Pod, volume_name: str) -> tuple[str, ...]:
    """Relative paths inside a volume at which other volume mounts of a container come to lie.

    They must exist before the container starts, because it sees the volume read-only.
    """
    found: set[str] = set()
    assert pod.spec is not None
    holders = (*pod.spec.containers, *(pod.spec.initContainers or ()), *(pod.spec.ephemeralContainers or ()))
    for container in holders:
        mounts = container.volumeMounts or ()
        for base in (PurePosixPath(m.mountPath) for m in mounts if m.name == volume_name and not m.subPath):
            for mount in mounts:
                inner = PurePosixPath(mount.mountPath)
                if inner != base and inner.is_relative_to(base) and ".." not in inner.parts:
                    found.add(str(inner.relative_to(base)))
    # a mount point below another one is made inside that other volume
    outermost = [path for path in sorted(found) if not any(path.startswith(f"{other}/") for other in found)]
    return tuple(path for path in outermost if not path.startswith(".."))
