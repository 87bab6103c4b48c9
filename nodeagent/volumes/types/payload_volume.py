"""Volumes whose content the agent writes: a wrapped emptyDir, filled by the atomic writer, handed to the pod's group."""

import contextlib
import enum
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes import ownership
from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumeRequest
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.sources import Allocatable
from nodeagent.volumes.types import empty_dir
from nodeagent.volumes.types.atomic_writer import FileEntry, write_payload
from nodeagent.volumes.types.payload_budget import Measure, PayloadBudget
from runtimes.linux.tasks import run_blocking

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
    allocatable: Allocatable
    plugin: str
    backing: Backing
    budget: PayloadBudget

    @contextlib.contextmanager
    def measured(self, request: VolumeRequest) -> Iterator[Measure]:
        """To be asked before anything is made for the volume, until it is published."""
        with self.budget.volume(request.pod.uid, request.directory_name) as measure:
            measure.take_folders(request.nested)
            yield measure

    async def publish(self, request: VolumeRequest, payload: Payload) -> MountedVolume:
        """Make `payload` the content of the volume, mounting it first where it is not. Raises VolumeError."""
        path = self.layout.volume_dir(request.pod.uid, self.plugin, request.directory_name)
        size_bytes = 0
        if self.backing is Backing.MEMORY:
            size_bytes = empty_dir.tmpfs_size_bytes(request.pod, None, self.allocatable())
        async with self.budget.writers:
            await run_blocking(self._publish, path, request, payload, size_bytes)
        return MountedVolume(host_path=path, directory_name=request.directory_name, read_only_forced=True, relabel=True)

    async def remove(self, uid: str, directory_name: str) -> None:
        self.budget.forget(uid, directory_name)
        path = self.layout.volume_dir(uid, self.plugin, directory_name)
        async with self.budget.writers:
            await run_blocking(empty_dir.tear_down, path, self._marker(uid, directory_name))

    def _marker(self, uid: str, directory_name: str) -> Path:
        return empty_dir.ready_marker(self.layout, uid, f"wrapped_{directory_name}")

    def _publish(self, path: Path, request: VolumeRequest, payload: Payload, size_bytes: int) -> None:
        marker = self._marker(request.pod.uid, request.directory_name)
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


def nested_mount_points(pod: AgentPod) -> Mapping[str, tuple[str, ...]]:
    """By volume, the relative paths inside it at which other volume mounts of a container come to lie.

    They must exist before the container starts, because it sees the volume read-only. A mount point below another one is made
    inside that other volume. A pod may have mounts by the ten thousand, so no two of them are compared.
    """
    found: dict[str, set[str]] = {}
    holders = (*pod.spec.containers, *(pod.spec.initContainers or ()), *(pod.spec.ephemeralContainers or ()))
    for container in holders:
        mounts = [(PurePosixPath(mount.mountPath).parts, mount) for mount in container.volumeMounts or ()]
        top = _MountPoint()
        for parts, mount in mounts:
            point = top
            for part in parts:
                point = point.inner.setdefault(part, _MountPoint())
            if not mount.subPath and not mount.subPathExpr:
                point.volume = mount.name
            else:
                point.volume = ""  # only a part of one
        for parts, _ in mounts:
            volume, inner = _within(top, parts)
            if volume and ".." not in parts and not inner.startswith(".."):
                found.setdefault(volume, set()).add(inner)
    return {volume: tuple(sorted(paths)) for volume, paths in found.items()}


@dataclass(slots=True)
class _MountPoint:
    """A part of a path. `volume`: what is mounted there; None: nothing."""

    volume: str | None = None
    inner: dict[str, "_MountPoint"] = field(default_factory=dict)


def _within(top: _MountPoint, parts: tuple[str, ...]) -> tuple[str, str]:
    """The volume that is mounted nearest above a mount point, and where in it that lies; empty: none is."""
    point, volume, start = top, "", 0
    for index, part in enumerate(parts[:-1], 1):
        point = point.inner[part]
        if point.volume is not None:
            volume, start = point.volume, index
    return volume, "/".join(parts[start:])
